// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/choice.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "repository/soundness.h"

namespace blksnap::repo {
namespace {

// "a, b and c"
std::string enumerate(const std::set<std::string>& names) {
  std::string text;
  std::size_t left = names.size();
  for (const std::string& name : names) {
    text += name;
    --left;
    if (left != 0) text += left == 1 ? " and " : ", ";
  }
  return text;
}

}  // namespace

Result<Choice> choose(const Listing& listing, const std::string& path,
                      const std::string& point, const std::string& disk) {
  std::vector<const Point*> points;  // that may be meant, newest first
  std::set<std::string> disks;       // of them
  for (auto at = listing.points.rbegin(); at != listing.points.rend(); ++at) {
    if (!point.empty() && at->name.text() != point) continue;
    points.push_back(&*at);
    for (const DiskRecord& record : at->manifest.disks)
      disks.insert(record.name);
  }
  for (const Damage& damage : listing.damaged)
    if (damage.point.text() == point)
      return context(path + ": point " + point + " is damaged", damage.error);
  if (points.empty())
    return refuse(ENOENT,
                  point.empty()
                      ? path + ": there is no point yet"
                      : path + ": there is no point '" + point +
                            "'; blksnap list prints those that there are");
  const std::string what = point.empty() ? path : path + ": point " + point;
  if (disk.empty() && disks.size() > 1)
    return refuse(EINVAL, what + " has several disks, " + enumerate(disks) +
                              ": name one with --disk");
  if (disks.empty()) return refuse(ENOENT, what + " has no disks");
  const std::string& name = disk.empty() ? *disks.begin() : disk;
  for (const Point* at : points)
    if (const DiskRecord* record = at->manifest.find(name))
      return Choice{at, record};
  return refuse(ENOENT,
                what + " has no disk '" + disk + "', but " + enumerate(disks));
}

std::vector<Link> links_of(const Listing& listing, const Choice& choice) {
  std::vector<Link> links;
  const auto chain = listing.chain(*choice.point, choice.disk->name);
  if (!chain) return links;
  for (const Point* point : *chain) {
    const bool there = std::find(listing.points.begin(), listing.points.end(),
                                 *point) != listing.points.end();
    links.push_back(
        {point->name, *point->manifest.find(choice.disk->name), !there});
  }
  return links;
}

Result<ChosenDisk> ChosenDisk::hold(const std::string& path,
                                    const std::string& point,
                                    const std::string& disk) {
  auto repository = Repository::open(path);
  if (!repository) return repository.error();
  auto listing = repository->list();
  if (!listing) return listing.error();
  // Again if something of it was removed before it was held. It was somebody
  // who got further by that, so that it is not for ever.
  for (;;) {
    const auto choice = choose(*listing, path, point, disk);
    if (!choice) return choice.error();
    auto chain = listing->chain(*choice->point, choice->disk->name);
    auto held = chain ? repository->hold(*chain) : chain.error();
    auto again = repository->list();
    if (!again) return again.error();
    const auto choice_again = choose(*again, path, point, disk);
    if (!choice_again) return choice_again.error();
    if (links_of(*listing, *choice) != links_of(*again, *choice_again)) {
      *listing = std::move(*again);
      continue;
    }
    if (!held) return held.error();
    ChosenDisk chosen(std::move(*repository), std::move(*listing));
    chosen.disk_ = choice->disk;
    chosen.chain_ = std::move(*chain);
    chosen.held_ = std::move(*held);
    return chosen;
  }
}

Result<ChosenDisk> ChosenDisk::open(const std::string& path,
                                    const std::string& point,
                                    const std::string& disk) {
  auto chosen = hold(path, point, disk);
  if (!chosen) return chosen.error();
  const std::string& name = chosen->disk().name;
  if (const auto sound = check_chain(chosen->repository_, chosen->listing_,
                                     chosen->chain_, name);
      !sound)
    return as_damage(*chosen->chain_.back(), name, sound.error());
  return chosen;
}

Result<DigestChain> ChosenDisk::digests() const {
  const Blocks blocks(disk_->size);
  auto tables = repository_.tables(chain_, disk_->name, blocks);
  if (!tables) return tables.error();
  return DigestChain(blocks, std::move(*tables));
}

}  // namespace blksnap::repo
