// SPDX-License-Identifier: LGPL-2.1-or-later
// Removes points in time of which nothing is wanted any more; see FORMAT.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backup/backup.h"
#include "backup/retention.h"
#include "base/result.h"
#include "repository/repository.h"

namespace blksnap::backup {

struct PruneRequest {
  std::string repository;           // path
  Retention retention;              // what to keep; unless there are `points`
  std::vector<std::string> points;  // what to remove
  bool dry_run = false;             // only say it
};

struct PruneReport {
  std::vector<repo::PointName> kept;
  std::vector<repo::PointName> removed;  // or to be, with dry_run
  // Of those that were to go: one that is kept, since it, or what stands on it,
  // is being read or cannot be merged; or whose removal is not complete.
  struct Failure {
    repo::PointName point;
    Error why;
  };
  std::vector<Failure> failed;
};

// Removes points. A damaged or lost one can be named: prune() removes the rest
// of it and its line in the catalogue. EINVAL where nothing would be left, or
// there is no such point. One that cannot be removed keeps no other from it.
Result<PruneReport> prune(const PruneRequest& request,
                          BackupObserver& observer);

// Tells the observer if the repository was of an earlier format.
void tell_upgrade(const repo::Repository& repository, BackupObserver& observer);

// Goes on with what prune() began before it broke. For whoever writes to the
// repository, which is in order in any case: that it cannot be done now, since
// something is being read, damaged, or too large, is only noted.
void finish_removals(const repo::Repository& repository,
                     BackupObserver& observer);

}  // namespace blksnap::backup
