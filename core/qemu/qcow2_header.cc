// SPDX-License-Identifier: LGPL-2.1-or-later
#include "qemu/qcow2_header.h"

#include <algorithm>
#include <boost/endian/buffers.hpp>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "io/file.h"

namespace blksnap::qemu {
namespace {

namespace endian = boost::endian;

// The fields up to header_length, of which version 2 ends before
// incompatible_features.
struct Fields {
  char magic[4];
  endian::big_uint32_buf_t version;
  endian::big_uint64_buf_t backing_file_offset;
  endian::big_uint32_buf_t backing_file_size;
  endian::big_uint32_buf_t cluster_bits;
  endian::big_uint64_buf_t size;
  char no_use_here[40];
  endian::big_uint64_buf_t incompatible_features;
  char no_use_here_either[20];
  endian::big_uint32_buf_t header_length;
};
static_assert(sizeof(Fields) == 104);

constexpr std::size_t kVersion2Length = 72;
constexpr std::uint64_t kExternalData = 4;  // bit 2 of incompatible_features
constexpr std::uint32_t kBackingFormat = 0xe2792aca;
constexpr std::uint32_t kDataFileName = 0x44415441;
constexpr std::uint32_t kLongestName = 1023;
// All of the header is in the first cluster, of at most 2 MiB; QEMU itself
// writes 64 KiB.
constexpr std::size_t kRead = 64 * 1024;

struct Extension {
  endian::big_uint32_buf_t type;  // 0 ends the list
  endian::big_uint32_buf_t length;
};

// Takes the names that are in extensions, which follow each other from `at` on.
bool take_extensions(std::string_view text, std::size_t at,
                     Qcow2Header& header) {
  for (;;) {
    Extension extension;
    if (text.size() < sizeof extension || at > text.size() - sizeof extension)
      return false;
    std::memcpy(&extension, text.data() + at, sizeof extension);
    at += sizeof extension;
    const std::uint32_t length = extension.length.value();
    if (extension.type.value() == 0) return true;
    if (length > text.size() - at) return false;
    const std::string_view data = text.substr(at, length);
    if (extension.type.value() == kBackingFormat) header.backing_format = data;
    if (extension.type.value() == kDataFileName) header.data_file = data;
    at += (length + 7) / 8 * 8;
  }
}

}  // namespace

Result<Qcow2Header> read_qcow2_header(const std::string& path) {
  const auto text = io::read_beginning(path, kRead);
  if (!text) return text.error();
  Fields fields = {};
  std::memcpy(&fields, text->data(), std::min(text->size(), sizeof fields));
  if (text->size() < kVersion2Length ||
      std::memcmp(fields.magic, "QFI\xfb", sizeof fields.magic) != 0)
    return refuse(EINVAL, path + " is no qcow2 image");
  const std::uint32_t version = fields.version.value();
  if (version != 2 && version != 3)
    return refuse(EINVAL, path + " is a qcow2 image of version " +
                              std::to_string(version) +
                              ", which is not known here");
  const Error nonsense =
      refuse(EINVAL, path + ": the header of the image makes no sense");
  Qcow2Header header;
  header.size = fields.size.value();
  std::size_t extensions = kVersion2Length;
  if (version == 3) {
    header.external_data = fields.incompatible_features.value() & kExternalData;
    extensions = fields.header_length.value();
    if (extensions < sizeof fields) return nonsense;
  }
  if (!take_extensions(*text, extensions, header)) return nonsense;
  const std::uint64_t name = fields.backing_file_offset.value();
  const std::uint32_t length = fields.backing_file_size.value();
  if (name == 0) return header;
  if (length > kLongestName || name > text->size() ||
      length > text->size() - name)
    return nonsense;
  header.backing = text->substr(name, length);
  return header;
}

}  // namespace blksnap::qemu
