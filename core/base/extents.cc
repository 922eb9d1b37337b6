// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/extents.h"

#include <algorithm>
#include <cassert>

namespace blksnap {

ExtentBuilder::ExtentBuilder(ByteRange range, std::size_t max_extents,
                             std::vector<Extent> room)
    : range_(range),
      max_extents_(max_extents),
      covered_end_(range.offset),
      extents_(std::move(room)) {
  assert(max_extents > 0);
  extents_.clear();
}

// From some size on there is room for all that may come: memory that is not
// touched costs nothing, and none is copied from smaller to larger.
void ExtentBuilder::make_room() {
  constexpr std::size_t kMany = 4096;
  const std::size_t have = extents_.size();
  extents_.reserve(
      have < kMany ? std::min(std::max<std::size_t>(16, 2 * have), max_extents_)
                   : max_extents_);
}

void ExtentBuilder::truncate(std::uint64_t end) {
  assert(end > range_.offset);
  while (covered_end_ > end) {
    Extent& last = extents_.back();
    const std::uint64_t start = covered_end_ - last.length;
    if (start >= end) {
      extents_.pop_back();
      covered_end_ = start;
    } else {
      last.length = end - start;
      covered_end_ = end;
    }
  }
}

}  // namespace blksnap
