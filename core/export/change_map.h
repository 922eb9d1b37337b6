// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "base/result.h"
#include "cbt/map.h"
#include "kernel/filter.h"

namespace blksnap::exports {

// The map of a device as frozen at its last take, from the kernel. EAGAIN where
// it does not stand still (the device is in no snapshot), EINVAL where it makes
// no sense.
Result<cbt::ChangeMap> read_change_map(const kernel::Filter& filter);

}  // namespace blksnap::exports
