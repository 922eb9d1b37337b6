// SPDX-License-Identifier: LGPL-2.1-or-later
// Any bytes for a change map's file, as they are and with checksums that fit:
// nobody finds those by chance. What can be read is written again as it was,
// and answers for every byte of its device.
#include "cbt/map_file.h"

#include <algorithm>
#include <boost/crc.hpp>
#include <boost/endian/conversion.hpp>
#include <cerrno>

#include "fuzz.h"
#include "io/fault_file.h"

namespace blksnap::cbt {
namespace {

using Bytes = std::vector<std::byte>;

// Offsets as in core/cbt/map_file.md.
constexpr std::size_t kVersion = 8, kHeader = 64, kMapSum = 56, kHeaderSum = 60;
constexpr std::byte kCurrent{2};  // the version before is read, not written

void put_sum(Bytes& file, std::size_t at, std::size_t from, std::size_t to) {
  boost::crc_32_type sum;
  sum.process_bytes(file.data() + from, to - from);
  boost::endian::store_little_u32(
      reinterpret_cast<unsigned char*>(file.data() + at), sum.checksum());
}

void check_map(const ChangeMap& map) {
  const auto& blocks = map.bytes();
  const std::uint8_t since = map.taken().number / 2;
  ExtentBuilder all({0, map.capacity()}, blocks.size());
  map.changed_since(since, all);
  REQUIRE(all.complete());
  std::uint64_t end = 0;
  std::size_t block = 0;
  for (const Extent& extent : all.extents()) {
    REQUIRE(extent.length != 0 && end % map.block_size() == 0);
    end += extent.length;
    for (; block < blocks.size() && block * map.block_size() < end; ++block)
      REQUIRE((blocks[block] > since) == (extent.flags == 1));
  }
  REQUIRE(block == blocks.size());
}

void check_file(const Bytes& file) {
  const auto map = read_map(io::FaultFile(file));
  if (!map) {
    REQUIRE(map.error().code == EINVAL && !map.error().message.empty());
    return;
  }
  const Bytes written = encode_map(*map);
  if (file[kVersion] == kCurrent) REQUIRE(written == file);
  const auto again = read_map(io::FaultFile(written));
  REQUIRE(again.has_value());
  REQUIRE(again->capacity() == map->capacity());
  REQUIRE(again->bytes() == map->bytes());
  REQUIRE(again->taken() == map->taken());
  check_map(*map);
}

}  // namespace
}  // namespace blksnap::cbt

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace blksnap::cbt;
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  Bytes file(bytes, bytes + size);
  check_file(file);
  if (size < kHeader) return 0;
  put_sum(file, kMapSum, kHeader, size);
  put_sum(file, kHeaderSum, 0, kHeaderSum);
  check_file(file);
  return 0;
}
