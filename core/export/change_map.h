// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "base/result.h"
#include "cbt/map.h"
#include "kernel/filter.h"

namespace blksnap::exports {

// The map of a device as frozen at its last take, from the kernel. While the
// device is in a snapshot it cannot be taken again, so it stands still; for
// one that is not held: EAGAIN if it moved while it was read.
Result<cbt::ChangeMap> read_change_map(const kernel::Filter& filter);

}  // namespace blksnap::exports
