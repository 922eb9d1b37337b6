// SPDX-License-Identifier: LGPL-2.1-or-later
// Removes points in time of which nothing is wanted any more.
//
// What stands on such a point takes over what it needs of it. Of each disk, the
// image of the child is committed into that of the point (qemu-img commit: the
// child's part alone is written, however large the point's is), and the result
// becomes the child's. The order, and what a break leaves:
//
//   1. The child's table of digests takes over the entries that it lacks. They
//      say what they said before, so the child is as good at any moment.
//   2. manifest.json of the point becomes manifest.removed.json: from then on
//   it
//      is no point, but its images are still there for those that need them.
//   3. The child's image is committed into the point's. Whatever of it is done,
//      the child reads the same: all that is written lies in the child as well.
//   4. The point's image is renamed over the child's.
//   5. The child's manifest says what it stands on now.
//   6. The point's folder becomes NAME.partial, and is removed.
//
// Each step is on stable storage before the next. A break before step 2 has
// changed nothing that can be seen; after it, whoever writes next goes on where
// it was.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backup/backup.h"
#include "backup/repository.h"
#include "backup/retention.h"
#include "base/result.h"

namespace blksnap::backup {

struct PruneRequest {
  std::string repository;           // path
  Retention retention;              // what to keep; unless there are `points`
  std::vector<std::string> points;  // what to remove
  bool dry_run = false;             // only say it
};

struct PruneReport {
  std::vector<PointName> kept;
  std::vector<PointName> removed;  // or to be, with dry_run
};

// EINVAL where nothing would be left, or there is no such point. A point that
// is being read is kept, with a note, and EBUSY at the end.
Result<PruneReport> prune(const PruneRequest& request,
                          BackupObserver& observer);

// Goes on with what prune() began before it broke. For whoever writes to the
// repository; that something is being read is only noted.
Result<void> finish_removals(const Repository& repository,
                             BackupObserver& observer);

}  // namespace blksnap::backup
