// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "map/scene.h"

namespace blksnap::tool {

struct Partitions {
  std::vector<Region> regions;  // in the order of the device
  bool table = false;  // else one region: what the device as a whole holds
};

// Reads the partition table of a device or image of `capacity` bytes, and what
// each partition holds, by libblkid; nothing is written. What lies beyond the
// capacity is cut off.
Result<Partitions> read_partitions(const std::string& path,
                                   std::uint64_t capacity);

}  // namespace blksnap::tool
