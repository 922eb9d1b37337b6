// SPDX-License-Identifier: LGPL-2.1-or-later
#include <memory>

#include "backup/restore.h"
#include "point_options.h"
#include "progress.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

struct Values {
  backup::RestoreRequest request;
  bool quiet = false;
};

Run define_restore(cli::App options) {
  auto values = std::make_shared<Values>();
  backup::RestoreRequest& request = values->request;
  add_point_options(options, request.repository, request.point, request.disk);
  options
      .add_option("--to", request.target,
                  "a file, a block device that is not in use, or the NBD URI "
                  "of an export")
      .type_name("TARGET")
      .required();
  options.add_flag("--force", request.force, "overwrite a file that exists");
  options.add_flag("-q,--quiet", values->quiet, "show no progress");
  return [values](const Output& output) -> Result<ExitStatus> {
    if (auto good = check_target(values->request.target); !good)
      return good.error();
    Progress progress(output, values->quiet);
    SingleProgress single(progress);
    const auto report = backup::restore(values->request, single);
    progress.clear();
    if (!report) return report.error();
    output.say_fields({{"point", report->point},
                       {"disk", report->disk},
                       {"size", report->size},
                       {"read_bytes", report->read_bytes}});
    return kSuccess;
  };
}

constexpr Verb kVerbs[] = {
    {"restore", "Bring back a disk as it was at a point in time",
     "  blksnap restore /backup/host --to vdb.raw\n"
     "  blksnap restore /backup/host --point 20261122T010203Z --disk vdb \\\n"
     "      --to /dev/sdc\n"
     "  blksnap restore /backup/host --to nbd://host/vdb",
     define_restore},
};

}  // namespace

std::span<const Verb> restore_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
