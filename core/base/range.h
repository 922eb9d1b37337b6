// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <cstdint>

namespace blksnap {

// Bytes [offset, offset + length) of a device. offset + length never wraps:
// whoever takes numbers from outside checks with within() before making one.
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  std::uint64_t end() const { return offset + length; }
  bool empty() const { return length == 0; }
  bool operator==(const ByteRange&) const = default;

  // Is [offset, offset + length) inside [0, size), without wrapping?
  static bool within(std::uint64_t offset, std::uint64_t length,
                     std::uint64_t size) {
    return offset <= size && length <= size - offset;
  }
};

// What both have; empty, at some offset, where they have nothing.
inline ByteRange intersect(const ByteRange& a, const ByteRange& b) {
  const std::uint64_t start = std::max(a.offset, b.offset);
  const std::uint64_t end = std::min(a.end(), b.end());
  return {start, end > start ? end - start : 0};
}

}  // namespace blksnap
