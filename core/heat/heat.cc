// SPDX-License-Identifier: LGPL-2.1-or-later
#include "heat/heat.h"

#include <algorithm>
#include <numeric>

namespace blksnap::heat {

std::uint64_t Tally::changed() const {
  return of(1, 255);
}

std::uint64_t Tally::of(std::uint8_t first, std::uint8_t last) const {
  return std::accumulate(bytes_.begin() + first, bytes_.begin() + last + 1,
                         std::uint64_t{0});
}

std::uint8_t Tally::newest() const {
  std::uint8_t number = 255;
  while (number > 0 && bytes_[number] == 0) --number;
  return number;
}

Tally Heat::tally(ByteRange range) const {
  Tally tally;
  const std::uint64_t begin = std::min(range.offset, map_->capacity());
  const std::uint64_t end = std::min(range.end(), map_->capacity());
  const std::uint64_t block_size = map_->block_size();
  std::uint64_t block = begin / block_size;
  for (std::uint64_t at = begin; at < end; ++block) {
    const std::uint64_t next = std::min(end, (block + 1) * block_size);
    const std::uint8_t number = map_->bytes()[block];
    tally.add(number > since_ ? number : 0, next - at);
    at = next;
  }
  return tally;
}

std::vector<Part> stack(const Tally& tally, std::uint64_t length,
                        std::uint32_t height) {
  std::vector<Part> parts;
  const std::uint64_t changed = tally.changed();
  if (changed == 0 || height == 0) return parts;
  const auto share = [](std::uint64_t part, std::uint64_t whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
  };
  auto full = static_cast<std::uint32_t>(height * share(changed, length) + 0.5);
  if (changed < length) full = std::min(full, height - 1);
  full = std::max(full, 1u);

  std::uint64_t sum = 0;
  std::uint32_t drawn = 0;
  for (unsigned number = tally.newest(); number > 0; --number) {
    sum += tally[static_cast<std::uint8_t>(number)];
    const auto top = std::max(
        1u, static_cast<std::uint32_t>(full * share(sum, changed) + 0.5));
    if (top == drawn) continue;
    parts.push_back({static_cast<std::uint8_t>(number), top - drawn});
    drawn = top;
  }
  return parts;
}

std::vector<Band> bands(std::uint8_t first, std::uint8_t last,
                        std::uint32_t count) {
  std::vector<Band> bands;
  const std::uint32_t numbers = last - first + 1;
  const std::uint32_t width = (numbers - 1) / count + 1;
  for (int top = last; top >= first; top -= static_cast<int>(width))
    bands.push_back({static_cast<std::uint8_t>(std::max<int>(
                         first, top - static_cast<int>(width) + 1)),
                     static_cast<std::uint8_t>(top)});
  return bands;
}

}  // namespace blksnap::heat
