// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "kernel/filter.h"

namespace blksnap::kernel {

// Where a file lies: on which block device, and where on it.
struct FilePlace {
  std::string device;  // "/dev/vdb1"
  std::vector<Sectors> ranges;
};

// Flushes the file first, so that it has a place. EOPNOTSUPP with a sentence
// where its file system cannot tell, or is on no single block device.
Result<FilePlace> place_of_file(const std::string& path);

}  // namespace blksnap::kernel
