// SPDX-License-Identifier: LGPL-2.1-or-later
// Which points in time are worth keeping. No I/O here.
#pragma once

#include <ctime>
#include <set>
#include <vector>

#include "repository/names.h"

namespace blksnap::backup {

// For each number: the newest point of so many of the latest hours, days and so
// on in which one was begun (UTC; weeks begin on Mondays, as in ISO 8601); of
// `last`, of so many points. A point that one of them wants is kept.
struct Retention {
  unsigned last = 0;
  unsigned hourly = 0;
  unsigned daily = 0;
  unsigned weekly = 0;
  unsigned monthly = 0;
  unsigned yearly = 0;

  bool operator==(const Retention&) const = default;
};

struct DatedPoint {
  repo::PointName name;
  // When it was begun, seconds since 1970, by the clock of that time. The name
  // is later than all names before it, and so may be far ahead of this.
  std::time_t started = 0;
};

// In any order. The order in which they were made is that of their names.
std::set<repo::PointName> worth_keeping(std::vector<DatedPoint> points,
                                        const Retention& retention);

}  // namespace blksnap::backup
