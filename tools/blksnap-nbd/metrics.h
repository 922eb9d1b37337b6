// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "nbd/counters.h"

namespace blksnap::server {

// In the text format of Prometheus; the names are in the manual page.
std::string metrics_text(const nbd::Counters::Totals& totals);

}  // namespace blksnap::server
