// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "base/result.h"
#include "kernel/control.h"
#include "kernel/filter.h"
#include "kernel/system.h"

namespace blksnap::kernel {

// The block devices of this machine whose changes are tracked, in the order of
// their names. Each device that there is is opened, without touching its
// medium.
Result<std::vector<Filter>> tracked_devices(
    const System& system = System::running());

// Is the device in this snapshot, and that is taken? No ioctl says which one it
// is in, so it is asked to be added to this one: EALREADY says that it is in
// it. Nothing is ever added by that: only a device that has an image is asked,
// and such a device is refused by every other snapshot.
Result<bool> is_in(const Filter& device, const Uuid& id);

// Those that are in the taken snapshot `id`. ENODEV: there is no such snapshot;
// ENOENT: it has no image, as it is not taken.
Result<std::vector<Filter>> find_devices(
    const Control& control, const Uuid& id,
    const System& system = System::running());

}  // namespace blksnap::kernel
