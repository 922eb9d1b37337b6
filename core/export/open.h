// SPDX-License-Identifier: LGPL-2.1-or-later
// From settings to something to serve: the one entry of both front ends.
#pragma once

#include <memory>

#include "base/settings.h"
#include "export/catalogue.h"
#include "kernel/system.h"

namespace blksnap::exports {

// Does what the settings say: takes and holds a snapshot (device=), adopts one
// (snapshot=) or opens a file (file=, cbt=). The catalogue owns all of it; its
// destruction releases a snapshot that was taken here. Blocks (file systems
// are frozen for the take); call once, from the main thread. `system` outlives
// the catalogue.
Result<std::unique_ptr<Catalogue>> open_catalogue(
    const Settings& settings,
    const kernel::System& system = kernel::System::running());

}  // namespace blksnap::exports
