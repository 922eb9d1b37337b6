// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backup/compare.h"
#include "base/result.h"
#include "copy/pull.h"
#include "repository/repository.h"

namespace blksnap::backup {

// Something that is bad.
struct Finding {
  std::string what;
  std::optional<std::uint64_t> offset;  // on the disk, of the first bad block
};

struct Inspection {
  std::vector<Finding> findings;
  std::uint64_t bytes = 0;  // compared with their digests

  void found(std::string what, std::optional<std::uint64_t> offset = {}) {
    findings.push_back({std::move(what), offset});
  }
};

// Is one disk of a point what the manifests say? Of an increment that part is
// read which it has itself, unless it is to be `whole`: all of the disk then,
// through the images that it stands on. EBUSY while something of it is being
// removed; other errors are what keeps it from looking, such as a lack of
// memory.
Result<Inspection> inspect(const repo::Repository& repository,
                           const repo::Listing& listing,
                           const repo::Point& point,
                           const repo::DiskRecord& disk, bool whole,
                           copy::PullObserver& observer);

}  // namespace blksnap::backup
