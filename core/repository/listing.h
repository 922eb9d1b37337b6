// SPDX-License-Identifier: LGPL-2.1-or-later
// The points that a repository has, as Repository::list() found them.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "repository/manifest.h"
#include "repository/names.h"

namespace blksnap::repo {

struct Point {
  PointName name;
  Manifest manifest;

  bool operator==(const Point&) const = default;
};

// A point whose manifest cannot be read, or that the catalogue has and the
// folder has not.
struct Damage {
  PointName point;
  Error error;
  bool lost = false;  // there is no folder of this name
};

struct Listing {
  std::vector<Point> points;   // oldest first
  std::vector<Point> removed;  // points that are being removed, unordered
  std::vector<Damage> damaged;
  std::optional<PointName> latest;  // of all names, damaged or not
  // Damage of the catalogue: then nobody knows whether a point is lost.
  std::optional<Error> unsure;

  // Among `points` and `removed`.
  const Point* find(const PointName& name) const;
  // Returns a point and all that it stands on for this disk, oldest first.
  // ENOENT where a point is missing, EILSEQ where it is another one than the
  // manifest of the point above says.
  Result<std::vector<const Point*>> chain(const Point& point,
                                          std::string_view disk) const;
  // Tells whether a point needs the image of another for any of its disks, also
  // through points between them. That other one need not be readable.
  bool stands_on(const Point& point, const PointName& below) const;
  // Returns a point that is there and cannot be read, or nullptr. Nobody knows
  // what it stands on.
  const Damage* unreadable() const;
};

}  // namespace blksnap::repo
