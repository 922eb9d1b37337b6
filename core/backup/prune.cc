// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/prune.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "backup/image.h"

namespace blksnap::backup {
namespace {

namespace fs = std::filesystem;

// One of a point's disks, and the point that stands on it.
struct Heir {
  DiskRecord disk;  // as the point to be removed has it
  PointName child;
};

Result<std::vector<Heir>> heirs_of(const Listing& listing, const Point& point) {
  std::vector<Heir> heirs;
  for (const DiskRecord& disk : point.manifest.disks) {
    std::optional<PointName> child;
    for (const Point& other : listing.points) {
      const DiskRecord* record = other.manifest.find(disk.name);
      if (!record || record->parent != point.name) continue;
      if (child)
        return refuse(ENOTSUP, "point " + point.name.text() +
                                   " cannot be removed: " + child->text() +
                                   " and " + other.name.text() +
                                   " both stand on it");
      child = other.name;
    }
    if (child) heirs.push_back({disk, *child});
  }
  return heirs;
}

// The removal of one point, in the steps of prune.h.
class Removal {
 public:
  static Result<Removal> make(const Repository& repository,
                              const Listing& listing, const Point& point) {
    auto heirs = heirs_of(listing, point);
    if (!heirs) return heirs.error();
    Removal removal(repository, point.name, std::move(*heirs));
    for (const Heir& heir : removal.heirs_)
      removal.children_.try_emplace(heir.child, *listing.find(heir.child));
    if (auto claimed = removal.claim(); !claimed) return claimed.error();
    return removal;
  }

  // Steps 1 and 2.
  Result<void> begin() {
    for (const Heir& heir : heirs_)
      if (auto adopted = adopt(heir); !adopted) return adopted;
    return repository_.begin_removal(point_);
  }

  // Steps 3 to 6. `again`: somebody was at it, and did not come to an end.
  Result<void> finish(bool again) {
    for (const Heir& heir : heirs_) {
      auto merged = merge_images(heir, again);
      if (merged) merged = inherit(heir);
      if (!merged)
        return context("the removal of point " + point_.text() +
                           " is not complete, and will be gone on with",
                       merged.error());
    }
    return repository_.remove_folder(point_);
  }

 private:
  Removal(const Repository& repository, const PointName& point,
          std::vector<Heir> heirs)
      : repository_(repository), point_(point), heirs_(std::move(heirs)) {}

  // Nobody may be reading the point, nor what stands on it.
  Result<void> claim() {
    std::vector<PointName> names{point_};
    for (const auto& [name, child] : children_) names.push_back(name);
    for (const PointName& name : names) {
      auto claimed = repository_.claim(name);
      if (!claimed) return claimed.error();
      claims_.push_back(std::move(*claimed));
    }
    return {};
  }

  Result<void> adopt(const Heir& heir) const {
    const Blocks blocks(heir.disk.size);
    const auto parents = DigestTable::open(
        (repository_.folder(point_) / heir.disk.digests).string(), blocks);
    if (!parents) return parents.error();
    const auto own = DigestTable::reopen(
        (repository_.folder(heir.child) / heir.disk.digests).string(), blocks);
    if (!own) return own.error();
    if (auto adopted = own->adopt(*parents); !adopted) return adopted;
    return own->sync();
  }

  Result<void> merge_images(const Heir& heir, bool again) const {
    const fs::path from = repository_.image(point_, heir.disk);
    const fs::path to = repository_.folder(heir.child) / heir.disk.image;
    std::error_code error;
    if (!fs::exists(from, error)) {
      if (error) return fail(error.value(), "look at " + from.string());
      if (again) return {};  // it has got as far as that
      return fail(ENOENT, "open " + from.string());
    }
    if (again)
      if (auto mended = mend_image(from.string()); !mended) return mended;
    if (auto done = commit_image(to.string(), repository_.lock()); !done)
      return done;
    if (auto synced = sync_file(from.string()); !synced) return synced;
    if (::rename(from.c_str(), to.c_str()) == -1)
      return fail(errno, "rename " + from.string());
    if (auto synced = sync_file(to.parent_path().string()); !synced)
      return synced;
    return sync_file(from.parent_path().string());
  }

  // The child has become what the point was: what it was taken since, and on
  // what it stands.
  Result<void> inherit(const Heir& heir) {
    Point& child = children_.at(heir.child);
    for (DiskRecord& record : child.manifest.disks) {
      if (record.name != heir.disk.name) continue;
      record.parent = heir.disk.parent;
      record.why = heir.disk.why;
      record.since = heir.disk.since;
    }
    return repository_.rewrite(child);
  }

  const Repository& repository_;
  PointName point_;
  std::vector<Heir> heirs_;
  std::map<PointName, Point> children_;
  std::vector<UniqueFd> claims_;
};

Result<std::set<PointName>> chosen(const PruneRequest& request,
                                   const Listing& listing) {
  std::set<PointName> unwanted;
  if (request.points.empty()) {
    std::vector<PointName> names;
    for (const Point& point : listing.points) names.push_back(point.name);
    const auto kept = worth_keeping(names, request.retention);
    for (const PointName& name : names)
      if (!kept.contains(name)) unwanted.insert(name);
  }
  for (const std::string& text : request.points) {
    const auto found = std::find_if(
        listing.points.begin(), listing.points.end(),
        [&](const Point& point) { return point.name.text() == text; });
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

Result<void> remove_point(const Repository& repository, const PointName& name) {
  const auto listing = repository.list();
  if (!listing) return listing.error();
  const Point* point = listing->find(name);
  if (!point) return refuse(ENOENT, "point " + name.text() + " has gone");
  auto removal = Removal::make(repository, *listing, *point);
  if (!removal) return removal.error();
  if (auto begun = removal->begin(); !begun) return begun;
  return removal->finish(false);
}

}  // namespace

Result<void> finish_removals(const Repository& repository,
                             BackupObserver& observer) {
  const auto listing = repository.list();
  if (!listing) return listing.error();
  for (const Point& point : listing->removed) {
    observer.note("going on with the removal of point " + point.name.text());
    auto removal = Removal::make(repository, *listing, point);
    if (!removal && removal.error().code == EBUSY) {
      observer.note("not yet: " + removal.error().message);
      continue;
    }
    if (!removal) return removal.error();
    if (auto finished = removal->finish(true); !finished) return finished;
  }
  return {};
}

Result<PruneReport> prune(const PruneRequest& request,
                          BackupObserver& observer) {
  const auto repository =
      request.dry_run
          ? Repository::open(request.repository)
          : Repository::open_to_write(request.repository, "blksnap prune",
                                      Repository::kExisting);
  if (!repository) return repository.error();
  if (!request.dry_run)
    if (auto finished = finish_removals(*repository, observer); !finished)
      return finished.error();
  const auto listing = repository->list();
  if (!listing) return listing.error();
  // Who knows what it stands on?
  if (!listing->damaged.empty())
    return context("a point is damaged, and nothing is removed",
                   listing->damaged.front());
  if (!request.dry_run && !listing->removed.empty())
    return refuse(EBUSY, "point " + listing->removed.front().name.text() +
                             " is still being read");
  const auto unwanted = chosen(request, *listing);
  if (!unwanted) return unwanted.error();

  PruneReport report;
  std::optional<Error> busy;
  for (const Point& point : listing->points) {
    auto& list = unwanted->contains(point.name) ? report.removed : report.kept;
    if (&list == &report.removed && !request.dry_run) {
      observer.writing();
      if (!observer.proceed(point.name.text(), 0, 0))
        return fail(ECANCELED, "prune");
      auto removed = remove_point(*repository, point.name);
      if (!removed && removed.error().code == EBUSY) {
        observer.note("point " + point.name.text() +
                      " is kept: " + removed.error().message);
        busy = removed.error();
        report.kept.push_back(point.name);
        continue;
      }
      if (!removed) return removed.error();
    }
    list.push_back(point.name);
  }
  if (busy) return *busy;
  return report;
}

}  // namespace blksnap::backup
