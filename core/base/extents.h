// SPDX-License-Identifier: LGPL-2.1-or-later
// The one builder of block-status answers (invariant 7 of the design).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/range.h"

namespace blksnap {

struct Extent {
  std::uint64_t length = 0;  // bytes, never 0
  std::uint32_t flags = 0;   // as the context defines them
  bool operator==(const Extent&) const = default;
};

// An ordered run of extents that starts at range.offset, has no gaps, and
// covers range unless max_extents stopped it. Equal neighbours are merged.
//
// Who fills it: for (each piece, in order) if (!builder.add(end, flags)) break;
// What does not lie in the range is clipped, so that a source may walk whole
// blocks of its own map.
class ExtentBuilder {
 public:
  // `room`: memory to use, of a list that is not needed any more.
  explicit ExtentBuilder(ByteRange range, std::size_t max_extents,
                         std::vector<Extent> room = {});

  // [covered end, up_to) has these flags; up_to is an offset on the device.
  // Nothing happens if up_to is covered already. Returns false once the range
  // is covered, or one more extent would be needed than allowed: stop then.
  bool add(std::uint64_t up_to, std::uint32_t flags) {
    up_to = std::min(up_to, range_.end());
    if (up_to > covered_end_) {
      const std::uint64_t length = up_to - covered_end_;
      if (!extents_.empty() && extents_.back().flags == flags) {
        extents_.back().length += length;
      } else if (extents_.size() == max_extents_) {
        return false;
      } else {
        if (extents_.size() == extents_.capacity()) make_room();
        extents_.push_back({length, flags});
      }
      covered_end_ = up_to;
    }
    // A full list may still grow at its end, so only the range's end stops us
    // here: the next add() with other flags finds out about the limit.
    return covered_end_ < range_.end();
  }

  // Cuts the answer so that it ends at `end` (used to give all contexts of
  // one reply the same coverage; invariant 4). end > range.offset.
  void truncate(std::uint64_t end);

  ByteRange range() const { return range_; }
  std::size_t max_extents() const { return max_extents_; }
  std::uint64_t covered_end() const { return covered_end_; }
  bool complete() const { return covered_end_ == range_.end(); }
  const std::vector<Extent>& extents() const { return extents_; }
  // Leaves the builder without a use.
  std::vector<Extent> take_extents() { return std::move(extents_); }

 private:
  void make_room();

  ByteRange range_;
  std::size_t max_extents_;
  std::uint64_t covered_end_;
  std::vector<Extent> extents_;
};

}  // namespace blksnap
