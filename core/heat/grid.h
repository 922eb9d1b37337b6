// SPDX-License-Identifier: LGPL-2.1-or-later
// A device as rows of cells, to be looked at.
//
// Row by row, like a page of text, and not along a Hilbert curve: that keeps
// neighbours together in both directions, but no offset can be read off it. In
// rows the margin says where each begins, a partition is a band, and what a
// file system writes in one go is a line. Cells and rows are powers of two of
// bytes, so that the offsets in the margin are round numbers.
#pragma once

#include <cstdint>

#include "base/range.h"

namespace blksnap::heat {

struct Grid {
  std::uint64_t capacity = 0;    // bytes, not 0
  std::uint64_t cell_bytes = 0;  // a multiple of the block size
  std::uint32_t columns = 0;
  std::uint32_t rows = 0;

  std::uint64_t row_bytes() const { return cell_bytes * columns; }
  // What a cell shows; empty after the end of the device, in the last row.
  ByteRange cell(std::uint32_t row, std::uint32_t column) const;
};

struct GridLimits {
  std::uint32_t min_columns = 1;  // both are rounded down to powers of two
  std::uint32_t max_columns = 1;
  std::uint32_t max_rows = 1;
};

// The finest grid within the limits. A small device, which does not need all
// rows, gets fewer columns, down to the least, rather than one long line.
Grid lay_out(std::uint64_t capacity, std::uint32_t block_size,
             GridLimits limits);

}  // namespace blksnap::heat
