// SPDX-License-Identifier: LGPL-2.1-or-later
#include "heat/grid.h"

#include <doctest/doctest.h>

using namespace blksnap;
using heat::Grid;
using heat::lay_out;

TEST_CASE("grid: cells are as small as the rows allow") {
  const std::uint64_t kGiB = 1ull << 30;
  const Grid grid = lay_out(8 * kGiB, 65536, {128, 128, 64});
  CHECK(grid.columns == 128);
  CHECK(grid.rows == 64);
  CHECK(grid.cell_bytes == kGiB / 1024);
  // One byte more needs cells of twice the size.
  const Grid more = lay_out(8 * kGiB + 1, 65536, {128, 128, 64});
  CHECK(more.cell_bytes == kGiB / 512);
  CHECK(more.rows == 33);
}

TEST_CASE("grid: no cell is smaller than a block, and none is empty") {
  const Grid grid = lay_out(1, 4096, {16, 128, 64});
  CHECK(grid.columns == 16);
  CHECK(grid.rows == 1);
  CHECK(grid.cell_bytes == 4096);
  CHECK(grid.cell(0, 0) == ByteRange{0, 1});
  CHECK(grid.cell(0, 1).empty());
}

TEST_CASE("grid: a small device is no single line") {
  const Grid grid = lay_out(100 * 4096, 4096, {16, 128, 64});
  CHECK(grid.columns == 16);
  CHECK(grid.rows == 7);
  CHECK(grid.cell(6, 3) == ByteRange{99 * 4096, 4096});
  CHECK(grid.cell(6, 4).empty());
  // Where the width is given, it is one.
  CHECK(lay_out(100 * 4096, 4096, {128, 128, 64}).columns == 128);
}

TEST_CASE("grid: widths are rounded down to powers of two") {
  CHECK(lay_out(1ull << 40, 65536, {67, 67, 16}).columns == 64);
  const Grid grid = lay_out((1ull << 63) - 1, 512, {1, 1, 1});
  CHECK(grid.rows == 1);
  CHECK(grid.cell(0, 0).length == (1ull << 63) - 1);
}
