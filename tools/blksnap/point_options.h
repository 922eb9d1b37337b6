// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "cli/app.h"

namespace blksnap::tool {

// REPO, --point and --disk, of the commands that read one disk of a repository.
void add_point_options(cli::App options, std::string& repository,
                       std::string& point, std::string& disk);

}  // namespace blksnap::tool
