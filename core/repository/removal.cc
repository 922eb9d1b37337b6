// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/removal.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "io/file.h"
#include "qemu/image.h"
#include "repository/soundness.h"

namespace blksnap::repo {
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
      if (!record || !record->parent || record->parent->point != point.name)
        continue;
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

// The removal of one point, in the steps of FORMAT.md. Borrows what it is made
// of.
class Removal {
 public:
  static Result<Removal> make(const Repository& repository,
                              const Listing& listing, const Point& point) {
    // What its manifest would tell may be that it stands on this point.
    if (const Damage* damage = listing.unreadable())
      return context("a point is damaged, and nothing is removed",
                     damage->error);
    auto heirs = heirs_of(listing, point);
    if (!heirs) return heirs.error();
    Removal removal(repository, listing, point.name, std::move(*heirs));
    for (const Heir& heir : removal.heirs_)
      removal.children_.try_emplace(heir.child, *listing.find(heir.child));
    if (auto claimed = removal.claim(); !claimed) return claimed.error();
    return removal;
  }

  // Steps 1 and 2.
  Result<void> begin() {
    if (auto good = check(); !good) return good;
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
  Removal(const Repository& repository, const Listing& listing,
          const PointName& point, std::vector<Heir> heirs)
      : repository_(repository),
        listing_(listing),
        point_(point),
        heirs_(std::move(heirs)) {}

  // Checks that nobody reads the point or what stands on it, and that all of it
  // can be renamed.
  Result<void> claim() {
    std::vector<PointName> names{point_};
    for (const auto& [name, child] : children_) names.push_back(name);
    for (const PointName& name : names) {
      if (auto good = repository_.check_place(name); !good) return good;
      auto claimed = repository_.claim(name);
      if (!claimed) return claimed.error();
      claims_.push_back(std::move(*claimed));
    }
    return {};
  }

  // Can all of it be merged? Nothing is touched if not.
  Result<void> check() const {
    std::uint64_t needed = 0;
    for (const Heir& heir : heirs_) {
      const auto room = look_at(heir);
      if (!room) return room.error();
      needed += *room;
    }
    return check_room(needed);
  }

  // What the merge may take, in bytes.
  Result<std::uint64_t> look_at(const Heir& heir) const {
    const std::string from = repository_.image(point_, heir.disk).string();
    const std::string to = image_of(heir).string();
    if (auto good = check_backing(heir); !good) return good.error();
    // Opened for writing, which fails while another program has them open.
    for (const std::string& path : {from, to})
      if (auto sound = qemu::mend_image(path); !sound) return sound.error();
    const auto upper = qemu::image_layers(to);
    const auto lower = qemu::image_layers(from);
    if (!upper) return upper.error();
    if (!lower) return lower.error();
    return qemu::growth_by_commit(*upper, *lower);
  }

  Result<void> check_room(std::uint64_t needed) const {
    std::error_code error;
    const auto space = fs::space(repository_.folder(point_), error);
    if (error || space.available >= needed) return {};
    return refuse(ENOSPC, "to remove point " + point_.text() + " takes " +
                              std::to_string(needed) +
                              " bytes before any are freed, and there are " +
                              std::to_string(space.available));
  }

  // QEMU would write into whatever the child's image says that it stands on.
  Result<void> check_backing(const Heir& heir) const {
    const Point& child = children_.at(heir.child);
    const auto chain = listing_.chain(child, heir.disk.name);
    if (!chain) return chain.error();
    const auto good =
        check_images(repository_, listing_, *chain, heir.disk.name);
    return good ? good : as_damage(child, heir.disk.name, good.error());
  }

  fs::path image_of(const Heir& heir) const {
    return repository_.folder(heir.child) / heir.disk.image;
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
    const fs::path to = image_of(heir);
    std::error_code error;
    if (!fs::exists(from, error)) {
      if (error) return fail(error.value(), "look at " + from.string());
      if (again) return {};  // it has got as far as that
      return fail(ENOENT, "open " + from.string());
    }
    if (again) {
      const auto room = look_at(heir);
      if (!room) return room.error();
      if (auto enough = check_room(*room); !enough) return enough;
    }
    if (auto done = qemu::commit_image(to.string(), repository_.lock()); !done)
      return done;
    if (auto synced = io::sync_path(from.string()); !synced) return synced;
    if (::rename(from.c_str(), to.c_str()) == -1)
      return fail(errno, "rename " + from.string());
    if (auto synced = io::sync_path(to.parent_path().string()); !synced)
      return synced;
    return io::sync_path(from.parent_path().string());
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
  const Listing& listing_;  // as it was before
  PointName point_;
  std::vector<Heir> heirs_;
  std::map<PointName, Point> children_;
  std::vector<UniqueFd> claims_;
};

}  // namespace

Result<void> remove_point(const Repository& repository, const Listing& listing,
                          const Point& point) {
  auto removal = Removal::make(repository, listing, point);
  if (!removal) return removal.error();
  if (auto begun = removal->begin(); !begun) return begun;
  return removal->finish(false);
}

Result<void> finish_removal(const Repository& repository,
                            const Listing& listing, const Point& point) {
  auto removal = Removal::make(repository, listing, point);
  return removal ? removal->finish(true) : removal.error();
}

}  // namespace blksnap::repo
