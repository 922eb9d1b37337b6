// SPDX-License-Identifier: LGPL-2.1-or-later
// Names for devices by which a server shows them and a repository keeps them.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace blksnap {

// A name for each device, in their order: the last part of its path, and of
// those that share it as many parts before it as tell them apart, with '-'
// between: "root" of /dev/vg/root alone, "vg1-root" and "vg2-root" of
// /dev/vg1/root and /dev/vg2/root. One path twice gives one name twice.
std::vector<std::string> device_names(std::span<const std::string> paths);

}  // namespace blksnap
