// SPDX-License-Identifier: LGPL-2.1-or-later
// SHA-256 of the blocks that a disk is divided into.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/range.h"

namespace blksnap::repo {

using Digest = std::array<std::byte, 32>;

Digest sha256(std::span<const std::byte> data);
std::string to_hexadecimal(const Digest& digest);

// SHA-256 of what comes in pieces.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(std::span<const std::byte> data);
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The unit of digests. It is what change maps and qcow2 images count in as
// well: with larger ones a small change would mean to read the rest of a block
// back from the image.
constexpr std::uint64_t kBlock = 64 * 1024;

// The blocks of a disk; the last one may be shorter.
class Blocks {
 public:
  explicit Blocks(std::uint64_t size);

  std::uint64_t size() const { return size_; }
  std::uint64_t count() const { return (size_ + kBlock - 1) / kBlock; }
  ByteRange range(std::uint64_t index) const {
    return {index * kBlock, std::min(kBlock, size_ - index * kBlock)};
  }
  // Of so many zeroes as the block is long.
  const Digest& zero(std::uint64_t index) const {
    return index + 1 < count() ? zero_ : last_zero_;
  }

 private:
  std::uint64_t size_;
  Digest zero_;
  Digest last_zero_;
};

}  // namespace blksnap::repo
