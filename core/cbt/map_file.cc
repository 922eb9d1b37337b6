// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cbt/map_file.h"

#include <algorithm>
#include <boost/crc.hpp>
#include <boost/endian/buffers.hpp>
#include <cerrno>
#include <cstddef>
#include <span>

namespace blksnap::cbt {
namespace {

namespace endian = boost::endian;

constexpr char kMagic[8] = {'B', 'L', 'K', 'S', 'N', 'C', 'B', 'T'};
constexpr std::uint32_t kVersion = 2;
// Has no instants; all else is the same.
constexpr std::uint32_t kVersionBefore = 1;

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
  std::uint8_t instant_count;  // reserved in version 1
  std::uint8_t reserved[6];
  endian::little_uint32_buf_t body_crc;    // covers what follows the header
  endian::little_uint32_buf_t header_crc;  // covers what comes before it
};
static_assert(sizeof(DiskHeader) == 64);
static_assert(offsetof(DiskHeader, generation) == 32);
static_assert(offsetof(DiskHeader, header_crc) == 60);

using DiskInstant = endian::little_uint64_buf_t;
static_assert(sizeof(DiskInstant) == 8);

// CRC-32 of the parts one after the other.
template <class... Part>
std::uint32_t crc(const Part&... parts) {
  boost::crc_32_type sum;
  const auto add = [&](std::span<const std::byte> bytes) {
    sum.process_bytes(bytes.data(), bytes.size());
  };
  (add(std::as_bytes(std::span(parts))), ...);
  return sum.checksum();
}

std::uint32_t header_crc(const DiskHeader& header) {
  return crc(std::span(reinterpret_cast<const std::byte*>(&header),
                       offsetof(DiskHeader, header_crc)));
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
  const std::uint32_t version = header.version.value();
  if (version != kVersion && version != kVersionBefore) {
    return refuse(EINVAL, path + " is a change map of version " +
                              std::to_string(version) +
                              ", and only versions 1 and 2 are known here");
  }
  if (header.header_crc.value() != header_crc(header)) {
    return refuse(EINVAL, path +
                              " is damaged: the checksum of its header is "
                              "wrong");
  }
  if (header.header_size.value() != sizeof(header)) {
    return refuse(EINVAL, path + " is not a change map: its header has " +
                              std::to_string(header.header_size.value()) +
                              " bytes");
  }
  // A meaning that they may get some day is not known here.
  if (std::any_of(std::begin(header.reserved), std::end(header.reserved),
                  [](std::uint8_t byte) { return byte != 0; }) ||
      (version == kVersionBefore && header.instant_count != 0)) {
    return refuse(EINVAL, path +
                              " is not a change map of a known version: "
                              "reserved bytes are not 0");
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

  std::vector<DiskInstant> instants(header.instant_count);
  const std::uint64_t map_offset =
      sizeof(header) + std::as_bytes(std::span(instants)).size();
  const std::uint64_t need = map_offset + header.block_count.value();
  if (file.size() < need) return truncated(file.path(), file.size(), need);
  if (file.size() > need) {
    return refuse(EINVAL, file.path() + " has " +
                              std::to_string(file.size() - need) +
                              " bytes after the end of its map");
  }
  std::vector<std::uint8_t> bytes(header.block_count.value());
  const auto instants_read =
      file.read(sizeof(header), std::as_writable_bytes(std::span(instants)));
  if (!instants_read) return instants_read.error();
  const auto map_read =
      file.read(map_offset, std::as_writable_bytes(std::span(bytes)));
  if (!map_read) return map_read.error();
  if (crc(instants, bytes) != header.body_crc.value()) {
    return refuse(
        EINVAL, file.path() + " is damaged: the checksum of its map is wrong");
  }

  History history;
  std::copy(std::begin(header.generation), std::end(header.generation),
            history.generation.begin());
  history.number = header.number;
  for (const DiskInstant& instant : instants)
    history.instants.push_back(instant.value());
  auto map = ChangeMap::make(header.capacity.value(), header.block_size.value(),
                             std::move(history), std::move(bytes));
  if (!map) return context(file.path(), map.error());
  return map;
}

Result<ChangeMap> read_map(const std::string& path) {
  const auto file = io::open_file(path);
  if (!file) return file.error();
  return read_map(**file);
}

std::vector<std::byte> encode_map(const ChangeMap& map) {
  const History& history = map.history();
  const std::vector<DiskInstant> instants(history.instants.begin(),
                                          history.instants.end());

  DiskHeader header{};
  std::copy(std::begin(kMagic), std::end(kMagic), header.magic);
  header.version = kVersion;
  header.header_size = sizeof(header);
  header.capacity = map.capacity();
  header.block_size = map.block_size();
  header.block_count = static_cast<std::uint32_t>(map.bytes().size());
  std::copy(history.generation.begin(), history.generation.end(),
            header.generation);
  header.number = history.number;
  header.instant_count = static_cast<std::uint8_t>(instants.size());
  header.body_crc = crc(instants, map.bytes());
  header.header_crc = header_crc(header);

  std::vector<std::byte> content;
  const auto append = [&](const auto& part) {
    const auto bytes = std::as_bytes(std::span(part));
    content.insert(content.end(), bytes.begin(), bytes.end());
  };
  append(std::span(&header, 1));
  append(instants);
  append(map.bytes());
  return content;
}

Result<void> write_map(const std::string& path, const ChangeMap& map) {
  return io::replace_file(path, encode_map(map));
}

}  // namespace blksnap::cbt
