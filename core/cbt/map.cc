// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cbt/map.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <limits>

#include "base/uuid.h"

namespace blksnap::cbt {
namespace {

// Index of the first byte in [from, end) that is, or is not, above `since`;
// `end` if there is none. Most of a map is long runs, so whole strides are
// looked at without a branch per byte, in a shape that compilers vectorise; but
// not where the run ends soon, as a stride costs more than a few bytes.
std::size_t run_end(const std::uint8_t* bytes, std::size_t from,
                    std::size_t end, std::uint8_t since, bool changed) {
  constexpr std::size_t kStride = 64;
  const std::uint8_t expected = changed ? 1 : 0;
  for (const std::size_t soon = std::min(end, from + kStride / 8); from < soon;
       ++from)
    if ((bytes[from] > since) != changed) return from;
  while (end - from >= kStride) {
    std::uint8_t differs = 0;
    for (std::size_t i = 0; i < kStride; ++i) {
      differs |= static_cast<std::uint8_t>(bytes[from + i] > since) ^ expected;
    }
    if (differs != 0) break;
    from += kStride;
  }
  while (from < end && (bytes[from] > since) == changed) ++from;
  return from;
}

}  // namespace

std::string Checkpoint::to_string() const {
  return blksnap::to_string(generation) + "." + std::to_string(number);
}

Result<Checkpoint> Checkpoint::parse(std::string_view text) {
  const Error error =
      refuse(EINVAL, "'" + std::string(text) +
                         "' is not a checkpoint: want GENERATION.NUMBER");
  const std::size_t dot = text.rfind('.');
  if (dot == text.npos) return error;
  const auto uuid = parse_uuid(text.substr(0, dot));
  if (!uuid) return error;
  Checkpoint checkpoint{*uuid, 0};
  const std::string_view number = text.substr(dot + 1);
  const auto [rest, code] = std::from_chars(
      number.data(), number.data() + number.size(), checkpoint.number);
  if (code != std::errc{} || rest != number.data() + number.size()) {
    return error;
  }
  // One spelling only: names of checkpoints are compared as text by others.
  if (checkpoint.to_string() != text) return error;
  return checkpoint;
}

Result<ChangeMap> ChangeMap::make(std::uint64_t capacity,
                                  std::uint32_t block_size, Checkpoint taken,
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
  return ChangeMap(capacity, block_size, taken, std::move(bytes));
}

ChangeMap::ChangeMap(std::uint64_t capacity, std::uint32_t block_size,
                     Checkpoint taken, std::vector<std::uint8_t> bytes)
    : capacity_(capacity),
      block_size_(block_size),
      taken_(taken),
      bytes_(std::move(bytes)) {}

bool ChangeMap::answers(const Checkpoint& since) const {
  return taken_.number > 0 && since.generation == taken_.generation &&
         since.number <= taken_.number;
}

void ChangeMap::changed_since(std::uint8_t since, ExtentBuilder& out,
                              Flags flags) const {
  assert(out.range().end() <= capacity_);
  if (out.range().empty()) return;
  const std::size_t end = (out.range().end() - 1) / block_size_ + 1;
  std::size_t block = out.range().offset / block_size_;
  while (block < end) {
    const bool changed = bytes_[block] > since;
    block = run_end(bytes_.data(), block, end, since, changed);
    const std::uint64_t up_to = std::uint64_t{block} * block_size_;
    if (!out.add(up_to, changed ? flags.changed : flags.unchanged)) return;
  }
}

}  // namespace blksnap::cbt
