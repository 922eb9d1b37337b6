// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "map/scene.h"

namespace blksnap::tool {

struct TextStyle {
  enum class Colours { kNone, k256, kTrue };
  std::uint32_t width = 80;  // columns
  bool utf8 = true;          // else ASCII alone
  Colours colours = Colours::kNone;

  // Of standard output: colours on a terminal alone, and not with NO_COLOR;
  // COLUMNS, or the terminal's width, or 80.
  static TextStyle of_stdout();
};

// A character a cell: how high it is says how much of the cell changed, its
// colour when that was last. Then the tables.
std::string text_of(const Scene& scene, const TextStyle& style);

}  // namespace blksnap::tool
