// SPDX-License-Identifier: LGPL-2.1-or-later
// The figures beside the picture, the same in each format.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "heat/heat.h"
#include "map/scene.h"
#include "output.h"

namespace blksnap::tool {

// "7", "5-7".
std::string name_of(const heat::Band& band);

// An offset exactly: "1152M", where size_text() would say 1.1G.
std::string offset_text(std::uint64_t bytes);

// Many takes are told in bands; the newest is first.
struct TakeRow {
  heat::Band band;
  std::uint64_t bytes = 0;
  double percent = 0;  // of the device
};
std::vector<TakeRow> take_rows(const Scene& scene);

// Partitions, and what changed outside of them. None where there are none.
struct RegionRow {
  std::string name, type, label;
  bool outside = false;
  std::uint64_t start = 0, size = 0, changed = 0;
  double of_it = 0, of_changes = 0;  // percent
};
std::vector<RegionRow> region_rows(const Scene& scene);

// All of it for programs, in bytes, take by take.
JsonValue json_of(const Scene& scene);

}  // namespace blksnap::tool
