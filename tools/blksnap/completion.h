// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "cli/app.h"

namespace blksnap::tool {

// A script for bash that completes the commands and options of `app`, and the
// values that they take. Made from what parses them, so that it knows as much
// and no more.
std::string bash_completion(const cli::App& app);

}  // namespace blksnap::tool
