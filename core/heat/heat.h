// SPDX-License-Identifier: LGPL-2.1-or-later
// A change map in figures that people can look at: how many bytes changed
// where, and before which take. No I/O here.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/range.h"
#include "cbt/map.h"

namespace blksnap::heat {

// Bytes by the number of the first take that shows their last change; [0] did
// not change.
class Tally {
 public:
  std::uint64_t operator[](std::uint8_t number) const { return bytes_[number]; }
  void add(std::uint8_t number, std::uint64_t bytes) {
    bytes_[number] += bytes;
  }

  std::uint64_t changed() const;  // bytes that did
  std::uint64_t of(std::uint8_t first, std::uint8_t last) const;
  std::uint8_t newest() const;  // number; 0: nothing changed

 private:
  std::array<std::uint64_t, 256> bytes_{};
};

// What of a device changed after take `since`; a block that did not counts as
// unchanged, whatever its byte is. Holds a reference to the map. Any thread.
class Heat {
 public:
  Heat(const cbt::ChangeMap& map, std::uint8_t since)
      : map_(&map), since_(since) {}

  // Of a range of bytes that ends anywhere: blocks are counted in part, and
  // nothing is beyond the capacity.
  Tally tally(ByteRange range) const;

 private:
  const cbt::ChangeMap* map_;
  std::uint8_t since_;
};

// How full a bar of `height` steps is that stands for `length` bytes: a part
// for each number, the newest first, at the foot. Together they are `height`
// only if every byte changed, and 0 only if none did; the newest has one step
// at least, as it is what one looks for.
struct Part {
  std::uint8_t number = 0;
  std::uint32_t steps = 0;
  bool operator==(const Part&) const = default;
};
std::vector<Part> stack(const Tally& tally, std::uint64_t length,
                        std::uint32_t height);

// Numbers first..last in at most `count` runs of (nearly) the same width, the
// newest first, for tables and legends.
struct Band {
  std::uint8_t first = 0, last = 0;
  bool operator==(const Band&) const = default;
};
std::vector<Band> bands(std::uint8_t first, std::uint8_t last,
                        std::uint32_t count);

}  // namespace blksnap::heat
