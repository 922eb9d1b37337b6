// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/prune.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/utc.h"
#include "repository/removal.h"

namespace blksnap::backup {
namespace {

std::time_t started(const repo::Point& point) {
  return from_rfc3339(point.manifest.started).value_or(point.name.instant());
}

Result<std::set<repo::PointName>> chosen(const PruneRequest& request,
                                         const repo::Listing& listing) {
  std::set<repo::PointName> unwanted;
  if (request.points.empty()) {
    // Disks may have been backed up each for itself: a point is kept if any of
    // its disks wants it.
    std::map<std::string, std::vector<DatedPoint>> points_of;
    for (const repo::Point& point : listing.points) {
      unwanted.insert(point.name);
      for (const repo::DiskRecord& disk : point.manifest.disks)
        points_of[disk.name].push_back({point.name, started(point)});
    }
    for (const auto& [disk, points] : points_of)
      for (const repo::PointName& name :
           worth_keeping(points, request.retention))
        unwanted.erase(name);
  }
  for (const std::string& text : request.points) {
    const auto is_it = [&](const auto& name) { return name.text() == text; };
    if (std::ranges::any_of(listing.damaged, is_it, &repo::Damage::point))
      continue;
    const auto found =
        std::ranges::find_if(listing.points, is_it, &repo::Point::name);
    if (found == listing.points.end())
      return refuse(EINVAL,
                    request.repository + ": there is no point '" + text + "'");
    unwanted.insert(found->name);
  }
  if (!unwanted.empty() && unwanted.size() == listing.points.size())
    return refuse(EINVAL, request.repository +
                              ": no point would be left; remove the directory "
                              "if that is what you want");
  return unwanted;
}

// In the order in which that is the least work: what nothing stands on goes as
// it is; of the rest, each is merged into an older one, so that no data is
// merged twice.
std::vector<repo::PointName> in_order(const std::set<repo::PointName>& unwanted,
                                      const repo::Listing& listing) {
  std::vector<repo::PointName> order;
  std::set<repo::PointName> needed;
  for (auto at = listing.points.rbegin(); at != listing.points.rend(); ++at) {
    if (unwanted.contains(at->name) && !needed.contains(at->name)) {
      order.push_back(at->name);
      continue;
    }
    for (const repo::DiskRecord& disk : at->manifest.disks)
      if (disk.parent) needed.insert(disk.parent->point);
  }
  const std::set<repo::PointName> first(order.begin(), order.end());
  for (const repo::PointName& name : unwanted)
    if (!first.contains(name)) order.push_back(name);
  return order;
}

// What was removed before has made another listing of it.
Result<void> remove(const repo::Repository& repository,
                    const repo::PointName& name) {
  const auto listing = repository.list();
  if (!listing) return listing.error();
  const repo::Point* point = listing->find(name);
  if (!point) return refuse(ENOENT, "point " + name.text() + " has gone");
  return repo::remove_point(repository, *listing, *point);
}

// Returns the damaged and lost points that were named. EINVAL if a point that
// stays stands on one of them. Any other unreadable point is an error: nobody
// knows what it stands on.
Result<std::vector<repo::Damage>> to_forget(
    const PruneRequest& request, const repo::Listing& listing,
    const std::set<repo::PointName>& unwanted) {
  std::vector<repo::Damage> found;
  for (const repo::Damage& damage : listing.damaged) {
    if (std::ranges::find(request.points, damage.point.text()) !=
        request.points.end())
      found.push_back(damage);
    else if (!damage.lost)
      return context("a point is damaged, and nothing is removed",
                     damage.error);
  }
  for (const repo::Damage& damage : found)
    for (const repo::Point& point : listing.points)
      if (!unwanted.contains(point.name) &&
          listing.stands_on(point, damage.point))
        return refuse(EINVAL, "point " + point.name.text() + " stands on " +
                                  damage.point.text() +
                                  ", and has to go with it: name both");
  return found;
}

}  // namespace

void tell_upgrade(const repo::Repository& repository,
                  BackupObserver& observer) {
  if (repository.upgraded())
    observer.note(
        "the repository was of format 1 and is of format 2 now, which earlier "
        "versions of blksnap refuse");
}

void finish_removals(const repo::Repository& repository,
                     BackupObserver& observer) {
  const auto listing = repository.list();
  if (!listing) return;  // who called will hear of it
  for (const repo::Point& point : listing->removed) {
    observer.note("going on with the removal of point " + point.name.text());
    if (auto done = repo::finish_removal(repository, *listing, point); !done)
      observer.note("not yet: " + done.error().message);
  }
}

Result<PruneReport> prune(const PruneRequest& request,
                          BackupObserver& observer) {
  const auto repository =
      request.dry_run
          ? repo::Repository::open(request.repository)
          : repo::Repository::open_to_write(request.repository, "blksnap prune",
                                            repo::Repository::kExisting);
  if (!repository) return repository.error();
  if (!request.dry_run) {
    tell_upgrade(*repository, observer);
    finish_removals(*repository, observer);
  }
  const auto listing = repository->list();
  if (!listing) return listing.error();
  if (!request.dry_run && !listing->removed.empty())
    return refuse(EBUSY, "the removal of point " +
                             listing->removed.front().name.text() +
                             " has to come to its end first");
  if (listing->unsure)
    return context(
        "whether a point is lost is not known before the next backup, and "
        "nothing is removed",
        *listing->unsure);
  const auto unwanted = chosen(request, *listing);
  if (!unwanted) return unwanted.error();
  const auto damaged = to_forget(request, *listing, *unwanted);
  if (!damaged) return damaged.error();

  PruneReport report;
  if (request.dry_run) {
    report.removed.assign(unwanted->begin(), unwanted->end());
    for (const repo::Damage& damage : *damaged)
      report.removed.push_back(damage.point);
    std::ranges::sort(report.removed);
    for (const repo::Point& point : listing->points)
      if (!unwanted->contains(point.name)) report.kept.push_back(point.name);
    return report;
  }
  observer.writing();
  for (const repo::Damage& damage : *damaged) {
    if (auto forgotten = repository->forget(damage); !forgotten)
      return forgotten.error();
    report.removed.push_back(damage.point);
  }
  for (const repo::PointName& name : in_order(*unwanted, *listing)) {
    if (!observer.proceed(name.text(), 0, 0)) {
      report.failed.push_back({name, fail(ECANCELED, "prune")});
      break;
    }
    const auto removed = remove(*repository, name);
    if (removed) {
      report.removed.push_back(name);
      continue;
    }
    report.failed.push_back({name, removed.error()});
    // One that has begun has to come to its end first.
    const auto now = repository->list();
    if (!now || !now->removed.empty()) break;
  }
  std::sort(report.removed.begin(), report.removed.end());
  const auto left = repository->list();
  if (!left) return left.error();
  for (const repo::Point& point : left->points)
    report.kept.push_back(point.name);
  return report;
}

}  // namespace blksnap::backup
