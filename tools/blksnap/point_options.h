// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace blksnap::tool {

// REPO, --point and --disk, of the commands that read one disk of a repository.
void add_point_options(CLI::App& options, std::string& repository,
                       std::string& point, std::string& disk);

}  // namespace blksnap::tool
