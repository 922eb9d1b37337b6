// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "base/result.h"
#include "cbt/map.h"
#include "kernel/filter.h"

namespace blksnap::exports {

// The map of a device as the kernel tells it. EINVAL where it makes no sense.
Result<cbt::ChangeMap> make_change_map(const kernel::Filter& filter,
                                       kernel::FrozenMap frozen);

// The takes that a device's change map can be asked about; none, where there
// was none yet.
Result<cbt::History> read_history(const kernel::Filter& filter);

}  // namespace blksnap::exports
