// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cbt/map_file.h"

#include <boost/crc.hpp>
#include <cerrno>

#include "base/uuid.h"
#include "io/fault_file.h"
#include "result.h"
#include "temp_dir.h"

using namespace blksnap;

namespace {

// The example of core/cbt/map_file.md.
constexpr unsigned char kExample[] = {
    0x42, 0x4c, 0x4b, 0x53, 0x4e, 0x43, 0x42, 0x54, 0x02, 0x00, 0x00, 0x00,
    0x40, 0x00, 0x00, 0x00, 0x40, 0x0d, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x04, 0x00, 0x00, 0x00, 0x3f, 0x0c, 0x6f, 0x0e,
    0x1c, 0x4b, 0x4d, 0x0a, 0x9a, 0x52, 0x0f, 0x7c, 0x6f, 0x5f, 0x4f, 0x0e,
    0x03, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3c, 0xdb, 0x33, 0x5c,
    0x66, 0x68, 0x2e, 0x58, 0x84, 0xe6, 0xc3, 0xa9, 0xb2, 0xf7, 0x10, 0x5d,
    0x36, 0x8a, 0x5f, 0xd2, 0xe9, 0x40, 0x7c, 0x1b, 0x5c, 0xd8, 0x90, 0xe3,
    0x1b, 0xa6, 0xf2, 0x04, 0x00, 0x01, 0x03, 0x02};
// The same in version 1.
constexpr unsigned char kBefore[] = {
    0x42, 0x4c, 0x4b, 0x53, 0x4e, 0x43, 0x42, 0x54, 0x01, 0x00, 0x00, 0x00,
    0x40, 0x00, 0x00, 0x00, 0x40, 0x0d, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x04, 0x00, 0x00, 0x00, 0x3f, 0x0c, 0x6f, 0x0e,
    0x1c, 0x4b, 0x4d, 0x0a, 0x9a, 0x52, 0x0f, 0x7c, 0x6f, 0x5f, 0x4f, 0x0e,
    0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc4, 0x87, 0xa5, 0xe5,
    0x58, 0xc5, 0x4b, 0xc8, 0x00, 0x01, 0x03, 0x02};

template <std::size_t kSize>
std::vector<std::byte> bytes_of(const unsigned char (&content)[kSize]) {
  const auto bytes = std::as_bytes(std::span(content));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> example() {
  return bytes_of(kExample);
}

std::string refusal(std::vector<std::byte> content) {
  const auto map = cbt::read_map(io::FaultFile(std::move(content)));
  if (!map) CHECK(code(map) == EINVAL);
  return why(map);
}

cbt::ChangeMap example_map() {
  const auto map = cbt::ChangeMap::make(
      200000, 65536,
      {*parse_uuid("3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e"),
       3,
       {0x5d10f7b2a9c3e684, 0x1b7c40e9d25f8a36, 0x04f2a61be390d85c}},
      {0, 1, 3, 2});
  REQUIRE(why(map) == "");
  return *map;
}

}  // namespace

TEST_CASE("map file: the documented example") {
  const auto map = cbt::read_map(io::FaultFile(example()));
  REQUIRE(why(map) == "");
  const cbt::ChangeMap expected = example_map();
  CHECK(map->capacity() == expected.capacity());
  CHECK(map->block_size() == expected.block_size());
  CHECK(map->taken() == expected.taken());
  CHECK(map->bytes() == expected.bytes());
  CHECK(map->history().instants == expected.history().instants);
}

TEST_CASE("map file: of version 1, which has no instants") {
  const auto map = cbt::read_map(io::FaultFile(bytes_of(kBefore)));
  REQUIRE(why(map) == "");
  CHECK(map->taken().to_string() == "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.3");
  CHECK(map->bytes() == example_map().bytes());
  CHECK(map->history().instants.empty());
}

TEST_CASE("map file: written as documented") {
  const TempDir dir;
  put(dir / "map", "an older one");
  REQUIRE(why(cbt::write_map(dir / "map", example_map())) == "");
  CHECK(get(dir / "map") ==
        std::string(reinterpret_cast<const char*>(kExample), sizeof(kExample)));
  CHECK(why(cbt::read_map(dir / "map")) == "");
  CHECK(code(cbt::write_map(dir / "none/map", example_map())) == ENOENT);
  CHECK(code(cbt::read_map(dir / "none")) == ENOENT);
}

TEST_CASE("map file: any flipped bit is found") {
  for (std::size_t at = 0; at < sizeof(kExample); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto content = example();
      content[at] ^= static_cast<std::byte>(1 << bit);
      CAPTURE(at);
      CHECK(refusal(std::move(content)) != "");
    }
  }
}

TEST_CASE("map file: any cut is found") {
  for (std::size_t size = 0; size < sizeof(kExample); ++size) {
    auto content = example();
    content.resize(size);
    const std::size_t need = size < 64 ? 64 : sizeof(kExample);
    CHECK(refusal(std::move(content)) ==
          "memory is cut short: it has " + std::to_string(size) +
              " bytes and needs " + std::to_string(need));
  }
}

TEST_CASE("map file: each refusal has its sentence") {
  auto content = example();
  SUBCASE("more than a map") {
    content.resize(content.size() + 3);
    CHECK(refusal(content) == "memory has 3 bytes after the end of its map");
  }
  SUBCASE("magic") {
    content[0] = std::byte{'b'};
    CHECK(refusal(content) == "memory is not a change map");
  }
  SUBCASE("version") {
    content[8] = std::byte{3};
    CHECK(refusal(content) ==
          "memory is a change map of version 3, and only versions 1 and 2 are "
          "known here");
  }
  SUBCASE("header") {
    content[48] = std::byte{4};
    CHECK(refusal(content) ==
          "memory is damaged: the checksum of its header is wrong");
  }
  const auto with_sum = [&] {
    boost::crc_32_type sum;
    sum.process_bytes(content.data(), 60);
    for (int i = 0; i < 4; ++i)
      content[60 + i] = static_cast<std::byte>(sum.checksum() >> 8 * i);
    return content;
  };
  constexpr char kReserved[] =
      "memory is not a change map of a known version: reserved bytes are not 0";
  SUBCASE("reserved") {
    content[55] = std::byte{1};
    CHECK(refusal(with_sum()) == kReserved);
  }
  SUBCASE("reserved in version 1") {
    content = bytes_of(kBefore);
    content[49] = std::byte{3};
    CHECK(refusal(with_sum()) == kReserved);
  }
  SUBCASE("instants of some takes") {
    content[48] = std::byte{2};
    CHECK(refusal(with_sum()) ==
          "memory: a change map of take 2 with the instants of 3");
  }
  SUBCASE("instant") {
    content[64] = std::byte{4};
    CHECK(refusal(content) ==
          "memory is damaged: the checksum of its map is wrong");
  }
  SUBCASE("map") {
    content[90] = std::byte{4};
    CHECK(refusal(content) ==
          "memory is damaged: the checksum of its map is wrong");
  }
}

TEST_CASE("map file: every failing read is told") {
  io::FaultFile whole(example());
  REQUIRE(why(cbt::read_map(whole)) == "");
  REQUIRE(whole.calls() > 0);
  for (unsigned call = 0; call < whole.calls(); ++call) {
    io::FaultFile file(example());
    file.fail_after(call, EIO);
    CHECK(code(cbt::read_map(file)) == EIO);
  }
  io::FaultFile file(example());
  file.shorten(66);
  CHECK(code(cbt::read_map(file)) == EIO);
}
