// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/extents.h"

#include <algorithm>
#include <cassert>

namespace blksnap {

ExtentBuilder::ExtentBuilder(ByteRange range, std::size_t max_extents)
    : range_(range), max_extents_(max_extents), covered_end_(range.offset) {
  assert(max_extents > 0);
}

bool ExtentBuilder::add(std::uint64_t up_to, std::uint32_t flags) {
  up_to = std::min(up_to, range_.end());
  if (up_to > covered_end_) {
    const std::uint64_t length = up_to - covered_end_;
    if (!extents_.empty() && extents_.back().flags == flags) {
      extents_.back().length += length;
    } else if (extents_.size() == max_extents_) {
      return false;
    } else {
      extents_.push_back({length, flags});
    }
    covered_end_ = up_to;
  }
  // A full list may still grow at its end, so only the range's end stops us
  // here: the next add() with other flags finds out about the limit.
  return covered_end_ < range_.end();
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
