// SPDX-License-Identifier: LGPL-2.1-or-later
#include "heat/grid.h"

#include <algorithm>
#include <bit>

namespace blksnap::heat {
namespace {

std::uint64_t rows_of(std::uint64_t capacity, std::uint64_t row_bytes) {
  return (capacity - 1) / row_bytes + 1;
}

}  // namespace

ByteRange Grid::cell(std::uint32_t row, std::uint32_t column) const {
  const std::uint64_t offset = row * row_bytes() + column * cell_bytes;
  if (offset >= capacity) return {capacity, 0};
  return {offset, std::min(cell_bytes, capacity - offset)};
}

Grid lay_out(std::uint64_t capacity, std::uint32_t block_size,
             GridLimits limits) {
  std::uint32_t columns = std::bit_floor(limits.max_columns);
  std::uint64_t cell = block_size;
  while (rows_of(capacity, cell * columns) > limits.max_rows) cell *= 2;
  // Wider than high, by a factor of two, is what looks right on screens.
  const std::uint32_t least = std::bit_floor(limits.min_columns);
  while (columns > least && rows_of(capacity, cell * columns) * 4 <= columns &&
         rows_of(capacity, cell * columns / 2) <= limits.max_rows)
    columns /= 2;
  return {capacity, cell, columns,
          static_cast<std::uint32_t>(rows_of(capacity, cell * columns))};
}

}  // namespace blksnap::heat
