// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>

namespace blksnap::tool {

struct Colour {
  std::uint8_t red = 0, green = 0, blue = 0;
  std::string hex() const;  // "#rrggbb"
};

enum class Theme { kLight, kDark };

// The colour of change number `number` among first..last. The newer, the
// warmer, and the further from the background in lightness, by even steps: the
// order is seen without colour vision, and in grey print, and what is newest
// stands out on white paper as on a dark screen. Made in the Oklab space, where
// even steps look even.
Colour heat_colour(std::uint8_t number, std::uint8_t first, std::uint8_t last,
                   Theme theme);

// A cell where nothing changed.
Colour unchanged_colour(Theme theme);

}  // namespace blksnap::tool
