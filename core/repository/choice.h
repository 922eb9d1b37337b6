// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "repository/repository.h"

namespace blksnap::repo {

// What belongs together in a Listing, which has to stay where it is.
struct Choice {
  const Point* point = nullptr;
  const DiskRecord* disk = nullptr;
};
// `path` is the repository's, for messages. `point`: empty for the newest that
// has the disk. `disk`: empty for the only one of that point, or of all points
// if none is named; EINVAL where there are several. ENOENT where there is none.
Result<Choice> choose(const Listing& listing, const std::string& path,
                      const std::string& point, const std::string& disk);

// What reading a disk at a point depends on, of a listing: two listings of a
// repository in which others remove points are compared by that.
struct Link {
  PointName point;
  DiskRecord disk;
  bool removed = false;  // as in Listing

  bool operator==(const Link&) const = default;
};
// Of a choice from it. Empty where something is missing.
std::vector<Link> links_of(const Listing& listing, const Choice& choice);

// One disk at one point in time, to be read: it and what it stands on are held
// against being removed. Movable.
class ChosenDisk {
 public:
  // Of the repository at `path`, as choose() does. An error as well where it is
  // not what its manifest says, as far as can be told without its content.
  static Result<ChosenDisk> open(const std::string& path,
                                 const std::string& point,
                                 const std::string& disk);
  // The same without a look at what it is. EBUSY while it is being removed.
  static Result<ChosenDisk> hold(const std::string& path,
                                 const std::string& point,
                                 const std::string& disk);

  const PointName& point() const { return chain_.back()->name; }
  const DiskRecord& disk() const { return *disk_; }
  std::string image() const {
    return repository_.image(point(), disk()).string();
  }
  Result<DigestChain> digests() const;

 private:
  ChosenDisk(Repository repository, Listing listing)
      : repository_(std::move(repository)), listing_(std::move(listing)) {}

  Repository repository_;
  Listing listing_;  // has what is pointed to below
  const DiskRecord* disk_ = nullptr;
  std::vector<const Point*> chain_;  // oldest first
  std::vector<UniqueFd> held_;
};

}  // namespace blksnap::repo
