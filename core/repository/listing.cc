// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/listing.h"

#include <algorithm>
#include <cerrno>

namespace blksnap::repo {
namespace {

// Is `parent`, which `point` stands on, the one that it was made on?
Result<void> check_link(const Point& point, const Parent& link,
                        const Point& parent, std::string_view disk) {
  if (link.id.empty()) return {};  // of the first format
  const std::string what =
      "point " + point.name.text() + " stands on " + parent.name.text() + ", ";
  if (link.id != parent.manifest.id)
    return refuse(EILSEQ, what + "and that is another point of this name");
  const DiskRecord* record = parent.manifest.find(disk);
  if (record && record->content != link.content)
    return refuse(EILSEQ, what + "whose digests are not those of then");
  return {};
}

}  // namespace

Result<std::vector<const Point*>> Listing::chain(const Point& point,
                                                 std::string_view disk) const {
  std::vector<const Point*> found;
  const Point* at = &point;
  for (;;) {
    const DiskRecord* record = at->manifest.find(disk);
    if (!record)
      return refuse(ENOENT, "point " + at->name.text() + " has no disk " +
                                std::string(disk));
    found.insert(found.begin(), at);
    if (!record->parent) return found;
    const Point* parent = find(record->parent->point);
    if (!parent || !(parent->name < at->name))
      return refuse(ENOENT, "point " + at->name.text() + " stands on " +
                                record->parent->point.text() +
                                ", which is not there");
    if (auto good = check_link(*at, *record->parent, *parent, disk); !good)
      return good.error();
    at = parent;
  }
}

const Point* Listing::find(const PointName& name) const {
  for (const auto* list : {&points, &removed})
    for (const Point& point : *list)
      if (point.name == name) return &point;
  return nullptr;
}

bool Listing::stands_on(const Point& point, const PointName& below) const {
  for (const DiskRecord& disk : point.manifest.disks) {
    const Point* at = &point;
    const DiskRecord* record = &disk;
    while (record && record->parent) {
      const PointName& parent = record->parent->point;
      if (parent == below) return true;
      const Point* next = find(parent);
      if (!next || !(next->name < at->name)) break;
      at = next;
      record = at->manifest.find(disk.name);
    }
  }
  return false;
}

const Damage* Listing::unreadable() const {
  const auto found =
      std::find_if(damaged.begin(), damaged.end(),
                   [](const Damage& damage) { return !damage.lost; });
  return found == damaged.end() ? nullptr : &*found;
}

}  // namespace blksnap::repo
