// SPDX-License-Identifier: LGPL-2.1-or-later
#include "point_options.h"

namespace blksnap::tool {

void add_point_options(cli::App options, std::string& repository,
                       std::string& point, std::string& disk) {
  options.add_option("REPO", repository, "the repository").required();
  options
      .add_option("--point", point,
                  "the point in time, as blksnap list prints it; default: the "
                  "newest")
      .type_name("POINT");
  options.add_option("--disk", disk, "which disk, if there are several")
      .type_name("NAME");
}

}  // namespace blksnap::tool
