// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/snapshot_image.h"

#include <array>
#include <cerrno>

#include "io/fault_file.h"
#include "result.h"

using namespace blksnap;

TEST_CASE("snapshot image: read-only, all data") {
  const auto image = image::make_snapshot_image(
      std::make_unique<io::FaultFile>(std::vector<std::byte>(8192)),
      [] { return Result<void>(); });
  CHECK(image->size() == 8192);
  CHECK_FALSE(image->writable());
  std::array<std::byte, 8> buffer{};
  CHECK(code(image->write(0, buffer)) == EROFS);
  CHECK(why(image->read(0, buffer)) == "");
  ExtentBuilder out({0, 8192}, 9);
  std::uint64_t may_read = 8192;
  CHECK(why(image->allocation(out, may_read)) == "");
  CHECK(may_read == 8192);
  CHECK_FALSE(image->reads_for_allocation());
  CHECK(out.extents() == std::vector<Extent>{{8192, 0}});
}

TEST_CASE("snapshot image: an error says what the image died of") {
  auto file = std::make_unique<io::FaultFile>(std::vector<std::byte>(8192));
  io::FaultFile& device = *file;
  Result<void> living;
  const auto image =
      image::make_snapshot_image(std::move(file), [&] { return living; });
  std::array<std::byte, 8> buffer{};

  device.fail_after(0, ENOMEM);
  const auto passing = image->read(0, buffer);
  CHECK(why(passing) == "read memory: Cannot allocate memory");
  CHECK(code(passing) == ENOMEM);

  living = refuse(EIO, "the snapshot is corrupted");
  device.fail_after(0, EIO);
  const auto dead = image->read(0, buffer);
  CHECK(why(dead) ==
        "read memory: Input/output error: the snapshot is corrupted");
  CHECK(code(dead) == EIO);
  CHECK(code(image->alive()) == EIO);
}

TEST_CASE("snapshot image: zeroes are what was discarded and reads as zeroes") {
  constexpr std::uint64_t kBlock = 64 * 1024;
  constexpr std::uint64_t kBlocks = 64;
  std::vector<std::byte> content(kBlocks * kBlock);
  // Blocks 1 to 4, 8 to 15 and 24 to 63 are discarded; something is in 2, in
  // 10, and in 40.
  for (const std::uint64_t offset :
       {2 * kBlock, 11 * kBlock - 1, 40 * kBlock + 77})
    content[offset] = std::byte{1};
  auto file = std::make_unique<io::FaultFile>(std::move(content));
  io::FaultFile& device = *file;
  const auto image = image::make_snapshot_image(
      std::move(file), [] { return Result<void>(); },
      image::Discards(kBlock, {0x1e, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0xff}));
  CHECK(image->reads_for_allocation());
  const auto ask = [&](ByteRange range, std::size_t most,
                       std::uint64_t& may_read) {
    ExtentBuilder out(range, most);
    CHECK(why(image->allocation(out, may_read)) == "");
    return out.extents();
  };
  using Extents = std::vector<Extent>;
  std::uint64_t may_read = 1 << 30;

  SUBCASE("all of it") {
    CHECK(ask({0, kBlocks * kBlock}, 99, may_read) ==
          Extents{{kBlock, 0},
                  {kBlock, 3},
                  {kBlock, 0},
                  {2 * kBlock, 3},
                  {3 * kBlock, 0},
                  {2 * kBlock, 3},
                  {kBlock, 0},
                  {5 * kBlock, 3},
                  {8 * kBlock, 0},
                  {16 * kBlock, 3},
                  {kBlock, 0},
                  {23 * kBlock, 3}});
    // No more was read than was discarded.
    CHECK(may_read == (1 << 30) - 52 * kBlock);
  }
  SUBCASE("within a block") {
    CHECK(ask({11 * kBlock - 9, 100}, 99, may_read) ==
          Extents{{9, 0}, {91, 3}});
    CHECK(ask({11 * kBlock - 9, 8}, 99, may_read) == Extents{{8, 3}});
    CHECK(may_read == (1 << 30) - 108);
  }
  SUBCASE("the first extent alone: nothing is read beyond it") {
    CHECK(ask({3 * kBlock, 61 * kBlock}, 1, may_read) ==
          Extents{{2 * kBlock, 3}});
    CHECK(may_read == (1 << 30) - 2 * kBlock);
  }
  SUBCASE("so much and no more is read") {
    may_read = 20 * kBlock + 5;
    CHECK(ask({24 * kBlock, 40 * kBlock}, 99, may_read) ==
          Extents{{16 * kBlock, 3},
                  {kBlock, 0},
                  {3 * kBlock + 5, 3},
                  {20 * kBlock - 5, 0}});
    CHECK(may_read == 0);
  }
  SUBCASE("what cannot be read is data") {
    device.fail_after(0, EIO);
    CHECK(ask({kBlock, 4 * kBlock}, 99, may_read) == Extents{{4 * kBlock, 0}});
  }
}
