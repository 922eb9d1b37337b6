// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/raw_image.h"

#include <array>
#include <cerrno>

#include "io/fault_file.h"
#include "result.h"

using namespace blksnap;

namespace {

constexpr auto kBlock = io::FaultFile::kHoleBlock;

// hole, data, hole of half a block
std::unique_ptr<io::FaultFile> sparse() {
  std::vector<std::byte> content(2 * kBlock + kBlock / 2);
  content[kBlock + 7] = std::byte{1};
  return std::make_unique<io::FaultFile>(std::move(content));
}

}  // namespace

TEST_CASE("raw image: holes are holes and read as zeroes") {
  const auto image = image::make_raw_image(sparse(), false);
  CHECK(image->size() == 2 * kBlock + kBlock / 2);
  using Extents = std::vector<Extent>;
  const auto extents = [&](ByteRange range, std::size_t max) {
    ExtentBuilder out(range, max);
    std::uint64_t nothing = 0;
    REQUIRE(why(image->allocation(out, nothing)) == "");
    return out.extents();
  };
  CHECK(extents({0, image->size()}, 9) ==
        Extents{{kBlock, 3}, {kBlock, 0}, {kBlock / 2, 3}});
  CHECK(extents({kBlock - 1, 2}, 9) == Extents{{1, 3}, {1, 0}});
  CHECK(extents({0, image->size()}, 2) == Extents{{kBlock, 3}, {kBlock, 0}});
  CHECK(extents({image->size() - 1, 1}, 1) == Extents{{1, 3}});
}

TEST_CASE("raw image: every failing call is told") {
  for (unsigned call = 0; call < 3; ++call) {
    auto file = sparse();
    file->fail_after(call, EIO);
    const auto image = image::make_raw_image(std::move(file), false);
    ExtentBuilder out({0, image->size()}, 9);
    std::uint64_t nothing = 0;
    CHECK(code(image->allocation(out, nothing)) == EIO);
  }
}

TEST_CASE("raw image: writes only where it may") {
  std::array<std::byte, 4> data{};
  SUBCASE("no") {
    const auto image = image::make_raw_image(sparse(), false);
    CHECK_FALSE(image->writable());
    CHECK(code(image->write(0, data)) == EROFS);
    CHECK(code(image->zero({0, 4}, true, false)) == EROFS);
    CHECK(code(image->trim({0, 4})) == EROFS);
    CHECK(code(image->flush()) == 0);
  }
  SUBCASE("yes") {
    auto owned = sparse();
    const io::FaultFile& file = *owned;
    const auto image = image::make_raw_image(std::move(owned), true);
    CHECK(image->writable());
    CHECK(why(image->zero({kBlock, kBlock}, true, false)) == "");
    CHECK(file.content()[kBlock + 7] == std::byte{0});
    data[0] = std::byte{5};
    CHECK(why(image->write(0, data)) == "");
    CHECK(file.content()[0] == std::byte{5});
    CHECK(why(image->trim({0, 4})) == "");
    CHECK(why(image->flush()) == "");
    CHECK(file.calls() == 4);
    CHECK(why(image->read(0, data)) == "");
  }
}
