// SPDX-License-Identifier: LGPL-2.1-or-later
// Catalogues over snapshots: what open_catalogue() does for device= and
// snapshot=.
#pragma once

#include <memory>

#include "base/settings.h"
#include "export/catalogue.h"
#include "kernel/system.h"

namespace blksnap::exports {

// Takes a snapshot of settings.devices; the catalogue holds it.
Result<std::unique_ptr<Catalogue>> take_snapshot(const Settings& settings,
                                                 const kernel::System& system);

// Serves the taken snapshot settings.snapshot, and leaves it.
Result<std::unique_ptr<Catalogue>> adopt_snapshot(const Settings& settings,
                                                  const kernel::System& system);

}  // namespace blksnap::exports
