// SPDX-License-Identifier: LGPL-2.1-or-later
// Is a repository what its manifests say?
#pragma once

#include <cstdint>
#include <string>

#include "backup/inspection.h"
#include "base/result.h"
#include "copy/pull.h"

namespace blksnap::backup {

struct VerifyRequest {
  std::string repository;  // path
  std::string point;       // this one alone, in whole; empty: all of them
  std::string disk;        // this one alone; empty: all of them
  // An export that shows the instant of the point (the newest one, if none is
  // named), to be compared with it as well; empty: none.
  std::string source;
};

// Called on the thread of verify(). proceed() is about what the images take on
// disk.
class VerifyObserver : public copy::PullObserver {
 public:
  // `disk` is empty where the point as such is bad; `point` is "repository"
  // where that is.
  virtual void found(const std::string& point, const std::string& disk,
                     const Finding& finding) = 0;
  // A sentence about what is not looked at.
  virtual void note(const std::string& sentence) = 0;
};

struct VerifyReport {
  std::uint64_t images = 0;   // that were looked at
  std::uint64_t skipped = 0;  // that were not: somebody removes points
  std::uint64_t bytes = 0;    // that were compared with their digests
  std::uint64_t findings = 0;
};

// Goes on after a finding; an error is what keeps it from looking.
//
// Of each image every block is compared that the image or its table of digests
// has; what neither has comes from the parent, where it is compared. Of a point
// that is named everything is, through the images that it stands on.
Result<VerifyReport> verify(const VerifyRequest& request,
                            VerifyObserver& observer);

}  // namespace blksnap::backup
