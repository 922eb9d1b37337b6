// SPDX-License-Identifier: LGPL-2.1-or-later
// A change map in a file of its own: the format is in cbt/map_file.md.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "cbt/map.h"
#include "io/file.h"

namespace blksnap::cbt {

// EINVAL with a sentence for a file that is no change map, is cut short, is
// damaged, has more than a map in it, or is of a version not known here.
Result<ChangeMap> read_map(const io::File& file);
Result<ChangeMap> read_map(const std::string& path);

// All bytes of a file with this map, and nothing else, in it.
std::vector<std::byte> encode_map(const ChangeMap& map);

// Replaces the file, atomically (see io::replace_file).
Result<void> write_map(const std::string& path, const ChangeMap& map);

}  // namespace blksnap::cbt
