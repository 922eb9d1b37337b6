// SPDX-License-Identifier: LGPL-2.1-or-later
// The change map of a device, as frozen at one take: a byte per block.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/extents.h"
#include "base/result.h"
#include "cbt/checkpoint.h"

namespace blksnap::cbt {

// Immutable after make(); any thread may read.
class ChangeMap {
 public:
  // `bytes` has one byte per block of `block_size`, which is a power of two
  // and covers `capacity`; `history` ends with the take that froze them, and
  // has an instant for each take or none. Otherwise EINVAL with a sentence. A
  // map of another length than the device needs is refused here and nowhere
  // else.
  static Result<ChangeMap> make(std::uint64_t capacity,
                                std::uint32_t block_size, History history,
                                std::vector<std::uint8_t> bytes);

  std::uint64_t capacity() const { return capacity_; }      // bytes
  std::uint32_t block_size() const { return block_size_; }  // bytes
  const History& history() const { return history_; }
  Checkpoint taken() const { return history_.last(); }
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }

  // Returns the take that `since` names, with its instant, if the map can tell
  // what changed since then. It can for takes of its own history, and not at
  // all before the first take, number 0 (invariant 1).
  std::optional<Checkpoint> find(const Checkpoint& since) const;
  bool answers(const Checkpoint& since) const {
    return find(since).has_value();
  }

  // How runs of blocks are to be shown; the default is that of a dirty bitmap.
  struct Flags {
    std::uint32_t changed = 1;
    std::uint32_t unchanged = 0;
  };

  // What changed since take number `since` (block byte > since), over
  // out.range(), which lies within the capacity. The caller has asked
  // answers(). Takes time in proportion to the extents, and for each of them
  // to the logarithm of the map: wherever the range begins, and however long
  // what did not change is.
  void changed_since(std::uint8_t since, ExtentBuilder& out) const {
    changed_since(since, out, Flags());
  }
  void changed_since(std::uint8_t since, ExtentBuilder& out, Flags flags) const;

 private:
  ChangeMap(std::uint64_t capacity, std::uint32_t block_size, History history,
            std::vector<std::uint8_t> bytes);

  std::uint64_t capacity_;
  std::uint32_t block_size_;
  History history_;
  // The highest and the lowest byte of each group of kFanOut blocks; of each
  // group of so many groups; and so on, up to a level of a few.
  struct Bounds {
    std::uint8_t highest = 0;
    std::uint8_t lowest = 0;
  };
  static constexpr std::size_t kFanOut = 64;

  void summarise();
  bool all_of(std::size_t level, std::size_t index, std::uint8_t since,
              bool changed) const;
  std::size_t size_of(std::size_t level) const;
  std::size_t run_end(std::size_t from, std::uint8_t since, bool changed) const;

  std::vector<std::uint8_t> bytes_;
  std::vector<std::vector<Bounds>> summaries_;  // [0] is of bytes_
};

}  // namespace blksnap::cbt
