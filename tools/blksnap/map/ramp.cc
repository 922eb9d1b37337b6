// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/ramp.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/format.h"

namespace blksnap::tool {
namespace {

// Lightness 0..1, chroma 0..0.3 or so, hue in degrees.
struct Lch {
  double lightness, chroma, hue;
};

std::uint8_t encode(double linear) {
  linear = std::clamp(linear, 0.0, 1.0);
  const double value = linear <= 0.0031308
                           ? 12.92 * linear
                           : 1.055 * std::pow(linear, 1 / 2.4) - 0.055;
  return static_cast<std::uint8_t>(value * 255 + 0.5);
}

// From Oklab to sRGB, by its definition (Ottosson, 2020).
Colour to_rgb(Lch colour) {
  const double angle = colour.hue * std::numbers::pi / 180;
  const double a = colour.chroma * std::cos(angle);
  const double b = colour.chroma * std::sin(angle);
  const double l =
      std::pow(colour.lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
  const double m =
      std::pow(colour.lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
  const double s =
      std::pow(colour.lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
  return {encode(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          encode(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          encode(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

struct Ends {
  Lch oldest, newest;
};
// Hues go from blue through purple and red.
constexpr Ends kLight = {{0.80, 0.09, 235}, {0.44, 0.18, 390}};
constexpr Ends kDark = {{0.44, 0.11, 265}, {0.86, 0.16, 438}};

}  // namespace

std::string Colour::hex() const {
  return formatted("#{:02x}{:02x}{:02x}", red, green, blue);
}

Colour heat_colour(std::uint8_t number, std::uint8_t first, std::uint8_t last,
                   Theme theme) {
  const Ends& ends = theme == Theme::kLight ? kLight : kDark;
  const double t =
      last > first ? static_cast<double>(number - first) / (last - first) : 1;
  return to_rgb({std::lerp(ends.oldest.lightness, ends.newest.lightness, t),
                 std::lerp(ends.oldest.chroma, ends.newest.chroma, t),
                 std::lerp(ends.oldest.hue, ends.newest.hue, t)});
}

Colour unchanged_colour(Theme theme) {
  return theme == Theme::kLight ? Colour{0xec, 0xee, 0xf1}
                                : Colour{0x26, 0x2a, 0x31};
}

}  // namespace blksnap::tool
