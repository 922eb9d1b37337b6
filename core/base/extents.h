// SPDX-License-Identifier: LGPL-2.1-or-later
// The one builder of block-status answers (invariant 7 of the design).
#pragma once

#include <cstddef>
#include <cstdint>
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
  explicit ExtentBuilder(ByteRange range, std::size_t max_extents);

  // [covered end, up_to) has these flags; up_to is an offset on the device.
  // Nothing happens if up_to is covered already. Returns false once the range
  // is covered, or one more extent would be needed than allowed: stop then.
  bool add(std::uint64_t up_to, std::uint32_t flags);

  // Cuts the answer so that it ends at `end` (used to give all contexts of
  // one reply the same coverage; invariant 4). end > range.offset.
  void truncate(std::uint64_t end);

  ByteRange range() const { return range_; }
  std::uint64_t covered_end() const { return covered_end_; }
  bool complete() const { return covered_end_ == range_.end(); }
  const std::vector<Extent>& extents() const { return extents_; }

 private:
  ByteRange range_;
  std::size_t max_extents_;
  std::uint64_t covered_end_;
  std::vector<Extent> extents_;
};

}  // namespace blksnap
