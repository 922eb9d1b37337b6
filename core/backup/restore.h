// SPDX-License-Identifier: LGPL-2.1-or-later
// Brings a disk back as it was at a point in time.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "copy/pull.h"

namespace blksnap::backup {

struct RestoreRequest {
  std::string repository;  // path
  std::string point;       // empty: the newest that has the disk
  std::string disk;        // empty: the only one there is
  // A file, which is made sparse, a block device that nobody uses and that is
  // large enough, or the NBD URI of an export that is.
  std::string target;
  bool force = false;  // over a file that exists
};

struct RestoreReport {
  std::string point;
  std::string disk;
  std::uint64_t size = 0;        // bytes of the disk
  std::uint64_t read_bytes = 0;  // of it, that are not zero for sure
};

// EILSEQ: all is restored, but some of it is not what was backed up; the error
// says where. Blocks until the target is on stable storage.
Result<RestoreReport> restore(const RestoreRequest& request,
                              copy::PullObserver& observer);

}  // namespace blksnap::backup
