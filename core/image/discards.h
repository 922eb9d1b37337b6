// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <vector>

namespace blksnap::image {

// Blocks that were discarded as a whole, or zeroed by the device, and not
// written to since: where it pays to look for zeroes, and no more than that.
// Immutable after construction; any thread may read.
class Discards {
 public:
  // Nothing was discarded, as far as anybody knows.
  Discards() = default;
  // Bit n % 8 of byte n / 8 is of block n, of `block_size` bytes; what is
  // beyond the bits was not discarded.
  Discards(std::uint32_t block_size, std::vector<std::uint8_t> bits);

  bool empty() const { return bits_.empty(); }

  struct Run {
    std::uint64_t end = 0;  // bytes; may lie beyond the image
    bool discarded = false;
  };
  // The run of equal blocks that byte `offset` lies in.
  Run run_at(std::uint64_t offset) const;

 private:
  bool at(std::uint64_t block) const {
    return (bits_[block / 8] >> (block % 8) & 1) != 0;
  }

  std::uint32_t block_size_ = 1;
  std::vector<std::uint8_t> bits_;
};

}  // namespace blksnap::image
