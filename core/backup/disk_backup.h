// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <filesystem>
#include <functional>

#include "backup/backup.h"
#include "backup/prepare.h"
#include "copy/rate_limit.h"
#include "repository/repository.h"

namespace blksnap::backup {

// What the disks of a set have in common. Borrowed.
struct SetOfDisks {
  const repo::Repository& repository;
  const repo::Listing& listing;
  std::filesystem::path folder;  // the partial one
  bool compress;
  bool resumable;  // keep journals, and take up what there are
  copy::RateLimit& rate;
  // As that of BackupObserver.
  std::function<bool(const std::string& disk, std::uint64_t done,
                     std::uint64_t total)>
      proceed;
};

// Writes image and digests of one disk, until they are on stable storage. For a
// thread that lives as long.
Result<repo::DiskRecord> back_up_disk(PreparedDisk disk, const SetOfDisks& set);

}  // namespace blksnap::backup
