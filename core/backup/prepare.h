// SPDX-License-Identifier: LGPL-2.1-or-later
// Before anything is written: is it to be a full backup or an incremental one,
// and of what?
#pragma once

#include <optional>
#include <string>

#include "backup/backup.h"
#include "copy/source.h"
#include "repository/repository.h"

namespace blksnap::backup {

struct PreparedDisk {
  std::string name;
  std::string origin;                  // as the manifest has it
  std::optional<repo::Parent> parent;  // none: full
  std::string why;
  std::string since;       // the bitmap that was granted
  std::string checkpoint;  // of the source's instant; empty: unknown
  copy::Source source;     // negotiated accordingly
};

// What can be said about a disk without the server: the bitmap to ask for, or
// why it has to be a full backup.
struct Wish {
  const repo::Point* parent = nullptr;
  std::string bitmap;    // empty: full
  std::string why_full;  // then
};

// EINVAL: --since names a checkpoint that the disk's newest point does not
// have. No I/O.
Result<Wish> wish_for(const repo::Listing& listing, const std::string& disk,
                      const BackupRequest& request);

Result<PreparedDisk> prepare(const SourceDisk& disk,
                             const BackupRequest& request,
                             const repo::Repository& repository,
                             const repo::Listing& listing);

}  // namespace blksnap::backup
