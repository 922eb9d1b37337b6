// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cbt/map_file.h"

#include <algorithm>
#include <boost/crc.hpp>
#include <boost/endian/buffers.hpp>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

namespace blksnap::cbt {
namespace {

namespace endian = boost::endian;

constexpr char kMagic[8] = {'B', 'L', 'K', 'S', 'N', 'C', 'B', 'T'};
constexpr std::uint32_t kVersion = 1;

// The header as it lies in the file.
struct DiskHeader {
  char magic[8];
  endian::little_uint32_buf_t version;
  endian::little_uint32_buf_t header_size;
  endian::little_uint64_buf_t capacity;
  endian::little_uint32_buf_t block_size;
  endian::little_uint32_buf_t block_count;
  std::uint8_t generation[16];
  std::uint8_t number;
  std::uint8_t reserved[7];
  endian::little_uint32_buf_t map_crc;
  endian::little_uint32_buf_t header_crc;  // of all that is before it
};
static_assert(sizeof(DiskHeader) == 64);
static_assert(offsetof(DiskHeader, generation) == 32);
static_assert(offsetof(DiskHeader, header_crc) == 60);

std::uint32_t crc(const void* data, std::size_t length) {
  boost::crc_32_type sum;
  sum.process_bytes(data, length);
  return sum.checksum();
}

std::uint32_t header_crc(const DiskHeader& header) {
  return crc(&header, offsetof(DiskHeader, header_crc));
}

Error truncated(const std::string& path, std::uint64_t have,
                std::uint64_t need) {
  return refuse(EINVAL, path + " is cut short: it has " + std::to_string(have) +
                            " bytes and needs " + std::to_string(need));
}

// All that can be said against a header by itself.
Result<void> check_header(const std::string& path, const DiskHeader& header) {
  if (!std::equal(std::begin(kMagic), std::end(kMagic), header.magic)) {
    return refuse(EINVAL, path + " is not a change map");
  }
  // Before the checksum, whose place another version may move.
  if (header.version.value() != kVersion) {
    return refuse(EINVAL, path + " is a change map of version " +
                              std::to_string(header.version.value()) +
                              ", and only version 1 is known here");
  }
  if (header.header_crc.value() != header_crc(header)) {
    return refuse(EINVAL, path +
                              " is damaged: the checksum of its header is "
                              "wrong");
  }
  if (header.header_size.value() != sizeof(header)) {
    return refuse(EINVAL, path +
                              " is not a change map of version 1: its "
                              "header has " +
                              std::to_string(header.header_size.value()) +
                              " bytes");
  }
  // A meaning that they may get some day is not known here.
  if (std::any_of(std::begin(header.reserved), std::end(header.reserved),
                  [](std::uint8_t byte) { return byte != 0; })) {
    return refuse(EINVAL, path +
                              " is not a change map of version 1: reserved "
                              "bytes are not 0");
  }
  return {};
}

}  // namespace

Result<ChangeMap> read_map(const io::File& file) {
  DiskHeader header;
  if (file.size() < sizeof(header)) {
    return truncated(file.path(), file.size(), sizeof(header));
  }
  const auto header_bytes = std::as_writable_bytes(std::span(&header, 1));
  if (const auto got = file.read(0, header_bytes); !got) return got.error();
  if (const auto good = check_header(file.path(), header); !good) {
    return good.error();
  }

  const std::uint64_t need = sizeof(header) + header.block_count.value();
  if (file.size() < need) return truncated(file.path(), file.size(), need);
  if (file.size() > need) {
    return refuse(EINVAL, file.path() + " has " +
                              std::to_string(file.size() - need) +
                              " bytes after the end of its map");
  }
  std::vector<std::uint8_t> bytes(header.block_count.value());
  const auto got =
      file.read(sizeof(header), std::as_writable_bytes(std::span(bytes)));
  if (!got) return got.error();
  if (crc(bytes.data(), bytes.size()) != header.map_crc.value()) {
    return refuse(
        EINVAL, file.path() + " is damaged: the checksum of its map is wrong");
  }

  Checkpoint taken;
  std::copy(std::begin(header.generation), std::end(header.generation),
            taken.generation.begin());
  taken.number = header.number;
  auto map = ChangeMap::make(header.capacity.value(), header.block_size.value(),
                             taken, std::move(bytes));
  if (!map) return context(file.path(), map.error());
  return map;
}

Result<ChangeMap> read_map(const std::string& path) {
  const auto file = io::open_file(path);
  if (!file) return file.error();
  return read_map(**file);
}

std::vector<std::byte> encode_map(const ChangeMap& map) {
  DiskHeader header{};
  std::copy(std::begin(kMagic), std::end(kMagic), header.magic);
  header.version = kVersion;
  header.header_size = sizeof(header);
  header.capacity = map.capacity();
  header.block_size = map.block_size();
  header.block_count = static_cast<std::uint32_t>(map.bytes().size());
  std::copy(map.taken().generation.begin(), map.taken().generation.end(),
            header.generation);
  header.number = map.taken().number;
  header.map_crc = crc(map.bytes().data(), map.bytes().size());
  header.header_crc = header_crc(header);

  std::vector<std::byte> content(sizeof(header) + map.bytes().size());
  std::memcpy(content.data(), &header, sizeof(header));
  std::memcpy(content.data() + sizeof(header), map.bytes().data(),
              map.bytes().size());
  return content;
}

Result<void> write_map(const std::string& path, const ChangeMap& map) {
  return io::replace_file(path, encode_map(map));
}

}  // namespace blksnap::cbt
