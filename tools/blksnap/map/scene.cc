// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/scene.h"

#include <algorithm>

#include "base/format.h"
#include "output.h"

namespace blksnap::tool {

std::uint8_t Scene::last_number() const {
  return std::max(map.taken().number, total().newest());
}

std::uint64_t Scene::changed_outside_regions() const {
  std::uint64_t changed = total().changed();
  for (const Region& region : regions)
    changed -= std::min(changed, heat().tally(region.range).changed());
  return changed;
}

std::string title_of(const Scene& scene) {
  return formatted("{}: {} in blocks of {}", scene.source,
                   size_text(scene.map.capacity()),
                   size_text(scene.map.block_size()));
}

std::string summary_of(const Scene& scene) {
  const std::uint64_t changed = scene.total().changed();
  const std::string since = scene.since == 0
                                ? "since tracking began"
                                : formatted("since take {}", scene.since);
  return formatted("{} ({:.1f} %) changed {}, up to take {}",
                   size_text(changed), percent(changed, scene.map.capacity()),
                   since, scene.map.taken().number);
}

}  // namespace blksnap::tool
