// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes a point in time of one or more exports. What breaks and when, and what
// is left of it, is told in repository/FORMAT.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/manifest.h"
#include "repository/names.h"

namespace blksnap::backup {

struct SourceDisk {
  std::string uri;     // of the export
  std::string name;    // of the disk in the repository; empty: as the export
  std::string origin;  // to be written down instead of the URI; may be empty
};

struct BackupRequest {
  std::string repository;  // path
  std::string tool;        // program and version, for the manifest
  std::vector<SourceDisk> disks;
  // May be empty. Called once, when the repository is locked and in order, and
  // so as late as can be: makes URIs of what is none yet.
  std::function<Result<void>(std::vector<SourceDisk>&)> serve;
  enum Kind {
    kAutomatic,  // incremental for each disk for which that is possible
    kFull,
    kIncremental,  // of all disks, or nothing
  } kind = kAutomatic;
  // A bitmap to ask for, instead of the checkpoint of the disk's newest point.
  // On the user's word it has what changed since that point.
  std::string since;
  // The checkpoint of this instant, where the server does not say it.
  std::string checkpoint;
  bool compress = false;
  unsigned parallel = 1;   // disks at a time
  std::uint64_t rate = 0;  // bytes a second read from all sources; 0: any
};

// What the user of run_backup() gets to know meanwhile. Any thread.
class BackupObserver {
 public:
  virtual ~BackupObserver() = default;
  // A sentence about what is done and why.
  virtual void note(const std::string& sentence) = 0;
  // From here on a signal should make proceed() return false.
  virtual void writing() {}
  // Of this disk: bytes done of all that are to be read or zeroed. At least
  // twice a second. False stops the backup, with ECANCELED.
  virtual bool proceed(const std::string& disk, std::uint64_t done,
                       std::uint64_t total) = 0;
};

struct BackupReport {
  repo::PointName point;
  repo::Manifest manifest;
};

// ESTALE: kIncremental, and for at least one disk the server cannot tell what
// changed; nothing has been touched then.
Result<BackupReport> run_backup(const BackupRequest& request,
                                BackupObserver& observer);

}  // namespace blksnap::backup
