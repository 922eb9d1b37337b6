// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/discards.h"

#include <algorithm>
#include <limits>

namespace blksnap::image {

Discards::Discards(std::uint32_t block_size, std::vector<std::uint8_t> bits)
    : block_size_(block_size), bits_(std::move(bits)) {
  const bool none = std::all_of(bits_.begin(), bits_.end(),
                                [](std::uint8_t byte) { return byte == 0; });
  if (none) bits_.clear();
}

Discards::Run Discards::run_at(std::uint64_t offset) const {
  const std::uint64_t blocks = bits_.size() * 8;
  std::uint64_t block = offset / block_size_;
  if (block >= blocks)
    return {std::numeric_limits<std::uint64_t>::max(), false};

  const bool discarded = at(block);
  const std::uint8_t whole = discarded ? 0xff : 0;
  while (block < blocks && at(block) == discarded) {
    // Eight at a time where they are alike.
    block += block % 8 == 0 && bits_[block / 8] == whole ? 8 : 1;
  }
  if (block == blocks && !discarded)
    return {std::numeric_limits<std::uint64_t>::max(), false};
  return {block * block_size_, discarded};
}

}  // namespace blksnap::image
