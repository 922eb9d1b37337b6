// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cbt/map.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <limits>
#include <string>
#include <utility>

namespace blksnap::cbt {

Result<ChangeMap> ChangeMap::make(std::uint64_t capacity,
                                  std::uint32_t block_size, History history,
                                  std::vector<std::uint8_t> bytes) {
  if (capacity == 0) {
    return refuse(EINVAL, "a change map of a device without bytes");
  }
  // Offsets are signed in the kernel; here it keeps block ends from wrapping.
  if (capacity > std::numeric_limits<std::int64_t>::max()) {
    return refuse(EINVAL, "a change map of a device of " +
                              std::to_string(capacity) + " bytes");
  }
  if (!std::has_single_bit(block_size)) {
    return refuse(EINVAL, "a change map with blocks of " +
                              std::to_string(block_size) +
                              " bytes, which is no power of two");
  }
  const std::uint64_t blocks = (capacity - 1) / block_size + 1;
  if (bytes.size() != blocks) {
    return refuse(EINVAL, "a change map of " + std::to_string(bytes.size()) +
                              " blocks, but a device of " +
                              std::to_string(capacity) + " bytes has " +
                              std::to_string(blocks) + " blocks of " +
                              std::to_string(block_size));
  }
  if (!history.instants.empty() && history.instants.size() != history.number) {
    return refuse(EINVAL, "a change map of take " +
                              std::to_string(history.number) +
                              " with the instants of " +
                              std::to_string(history.instants.size()));
  }
  if (std::count(history.instants.begin(), history.instants.end(), 0) != 0) {
    return refuse(EINVAL, "a change map with a take whose instant is 0");
  }
  return ChangeMap(capacity, block_size, std::move(history), std::move(bytes));
}

ChangeMap::ChangeMap(std::uint64_t capacity, std::uint32_t block_size,
                     History history, std::vector<std::uint8_t> bytes)
    : capacity_(capacity),
      block_size_(block_size),
      history_(std::move(history)),
      bytes_(std::move(bytes)) {
  summarise();
}

void ChangeMap::summarise() {
  const auto add_level = [&](std::size_t count, auto&& bounds_of) {
    std::vector<Bounds> level((count - 1) / kFanOut + 1);
    for (std::size_t group = 0; group < level.size(); ++group) {
      const std::size_t end = std::min(count, (group + 1) * kFanOut);
      Bounds all = bounds_of(group * kFanOut);
      for (std::size_t i = group * kFanOut + 1; i < end; ++i) {
        const Bounds one = bounds_of(i);
        all.highest = std::max(all.highest, one.highest);
        all.lowest = std::min(all.lowest, one.lowest);
      }
      level[group] = all;
    }
    summaries_.push_back(std::move(level));
  };
  add_level(bytes_.size(), [&](std::size_t i) {
    return Bounds{bytes_[i], bytes_[i]};
  });
  while (summaries_.back().size() > kFanOut) {
    const std::size_t below = summaries_.size() - 1;
    add_level(summaries_[below].size(),
              [&](std::size_t i) { return summaries_[below][i]; });
  }
}

// Level 0 is the map, level n the nth summary: have all blocks of an entry
// changed, or has none?
bool ChangeMap::all_of(std::size_t level, std::size_t index, std::uint8_t since,
                       bool changed) const {
  if (level == 0) return (bytes_[index] > since) == changed;
  const Bounds& bounds = summaries_[level - 1][index];
  return changed ? bounds.lowest > since : bounds.highest <= since;
}

std::size_t ChangeMap::size_of(std::size_t level) const {
  return level == 0 ? bytes_.size() : summaries_[level - 1].size();
}

// The first block from `from` on that is unlike the run; or the end of the map.
std::size_t ChangeMap::run_end(std::size_t from, std::uint8_t since,
                               bool changed) const {
  // Most runs of a map without long ones end here.
  const std::size_t soon = std::min(bytes_.size(), from + kFanOut / 4);
  for (; from < soon; ++from)
    if ((bytes_[from] > since) != changed) return from;

  // Up from the end of a group, down into one that is not all alike.
  std::size_t level = 0;
  while (from < size_of(level)) {
    if (!all_of(level, from, since, changed)) {
      if (level == 0) return from;
      --level;
      from *= kFanOut;
    } else if (++from % kFanOut == 0 && level < summaries_.size()) {
      ++level;
      from /= kFanOut;
    }
  }
  return bytes_.size();
}

std::optional<Checkpoint> ChangeMap::find(const Checkpoint& since) const {
  if (history_.number == 0) return {};
  return history_.find(since);
}

void ChangeMap::changed_since(std::uint8_t since, ExtentBuilder& out,
                              Flags flags) const {
  assert(out.range().end() <= capacity_);
  if (out.range().empty()) return;
  const std::size_t end = (out.range().end() - 1) / block_size_ + 1;
  std::size_t block = out.range().offset / block_size_;
  while (block < end) {
    const bool changed = bytes_[block] > since;
    ++block;
    // Not a call for each block where they alternate.
    if (block < end && (bytes_[block] > since) == changed)
      block = run_end(block + 1, since, changed);
    const std::uint64_t up_to = std::uint64_t{block} * block_size_;
    if (!out.add(up_to, changed ? flags.changed : flags.unchanged)) return;
  }
}

}  // namespace blksnap::cbt
