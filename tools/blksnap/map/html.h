// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "map/scene.h"

namespace blksnap::tool {

// One page that needs nothing else: no network, no other file (page/). The map
// is in it block by block, so that one can zoom down to a block; of a map that
// would make it larger than some MB, only the newest number of several
// neighbours, and the page says so.
Result<std::string> html_of(const Scene& scene);

// Numbers in runs: a byte n below 128 and n + 1 numbers, or 128 + n and one
// number that comes n + 2 times.
std::string pack_runs(const std::vector<std::uint8_t>& numbers);

}  // namespace blksnap::tool
