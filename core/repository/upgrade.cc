// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <utility>
#include <vector>

#include "base/uuid.h"
#include "repository/files.h"
#include "repository/repository.h"

namespace blksnap::repo {

// Gives the catalogue its format first, so that earlier programs refuse a
// repository that is of this format in part. A break leaves the points as good
// as they were, and the next writer goes on.
Result<void> Repository::upgrade() {
  const auto known = catalogue();
  if (!known) return known.error();
  upgraded_ = known->format == kFirstFormat;
  if (upgraded_)
    if (auto begun = write({}); !begun) return begun;
  auto listing = list();
  if (!listing) return listing.error();
  std::vector<std::pair<Point*, std::string_view>> files;
  for (Point& point : listing->points) files.push_back({&point, kManifestFile});
  for (Point& point : listing->removed) files.push_back({&point, kRemovedFile});
  // What a point stands on is older, and has its id when the point is come to.
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return a.first->name < b.first->name;
  });
  for (auto& [point, file] : files) {
    Manifest& manifest = point->manifest;
    if (!manifest.id.empty()) continue;
    manifest.id = new_uuid();
    for (DiskRecord& disk : manifest.disks) {
      if (!disk.parent) continue;
      const Point* parent = listing->find(disk.parent->point);
      const DiskRecord* below =
          parent ? parent->manifest.find(disk.name) : nullptr;
      if (below)
        disk.parent = {parent->name, parent->manifest.id, below->content};
    }
    if (auto written = replace_text(folder(point->name) / file,
                                    to_json(point->name, manifest));
        !written)
      return written;
  }
  // What a damaged catalogue had is for a backup to doubt first.
  return known->damage ? Result<void>() : renew_catalogue({});
}

}  // namespace blksnap::repo
