// SPDX-License-Identifier: LGPL-2.1-or-later
// A repository of backups: a folder.
//
//   blksnap-repository.json   that it is one, and of which format
//   lock                      one writer at a time; says who it is
//   20261122T010203Z/         a point in time: one coherent set of disks
//     vdb.qcow2               on top of ../PARENT/vdb.qcow2, unless it is full
//     vdb.sums                digests of its blocks (digest_table.h)
//     manifest.json           everything else (manifest.h)
//   20261122T020304Z.partial/ no point: what a backup left that broke; may be
//                             taken up again (resume.h)
//
// A folder that has manifest.removed.json instead is of a point that is being
// removed, and of which others still need the images: removal.h.
//
// Resilience. A point is written under the name NAME.partial; everything in it
// is on stable storage, the manifest last, before the folder gets its name, and
// the repository's folder is synced after that. The rename is the commit:
// whatever breaks before it leaves the points as they were. What a point holds
// never changes once it has its name, so reading needs no lock; who reads a
// point holds its folder with a shared lock, and who would remove one, or what
// it stands on, has to get an exclusive one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "repository/digest_table.h"
#include "repository/manifest.h"
#include "repository/names.h"

namespace blksnap::repo {

struct Point {
  PointName name;
  Manifest manifest;

  bool operator==(const Point&) const = default;
};

// A point whose manifest cannot be read.
struct Damage {
  PointName point;
  Error error;
};

struct Listing {
  std::vector<Point> points;   // oldest first
  std::vector<Point> removed;  // of which something is left, unordered
  std::vector<Damage> damaged;
  std::optional<PointName> latest;  // of all names, damaged or not

  // Among `points` and `removed`.
  const Point* find(const PointName& name) const;
};

// EINVAL where that path leads into a repository, where a copy could overwrite
// the image of a point.
Result<void> check_outside_repositories(const std::string& path);

// Not for several threads at once, but for what is const.
class Repository {
 public:
  // An existing one, to read.
  static Result<Repository> open(const std::string& path);
  enum Existence {
    kExisting,     // EINVAL where there is none
    kMakeIfEmpty,  // is made where there is nothing, or an empty folder
  };
  // To write. EBUSY, with who it is, while another one writes.
  static Result<Repository> open_to_write(const std::string& path,
                                          const std::string& who,
                                          Existence existence);

  Result<Listing> list() const;
  std::filesystem::path folder(const PointName& point) const;
  std::filesystem::path image(const PointName& point,
                              const DiskRecord& disk) const;

  // What the image of a disk and its digests take on the file system.
  std::uint64_t on_disk_bytes(const Point& point, const DiskRecord& disk) const;

  // A point and all that it stands on for this disk, oldest first. ENOENT with
  // a sentence where one is missing.
  static Result<std::vector<const Point*>> chain(const Listing& listing,
                                                 const Point& point,
                                                 std::string_view disk);
  // The tables of such a chain, or of nothing.
  Result<std::vector<DigestTable>> tables(
      const std::vector<const Point*>& chain, std::string_view disk,
      const Blocks& blocks) const;
  // Holds the points against being removed, for as long as it is there.
  Result<std::vector<UniqueFd>> hold(
      const std::vector<const Point*>& chain) const;

  // For writers.
  std::filesystem::path partial_folder(const PointName& point) const;
  Result<std::vector<std::filesystem::path>> partial_folders() const;
  Result<void> commit(const PointName& point, const Manifest& manifest) const;
  // Waits for nobody: EBUSY while somebody holds the point.
  Result<UniqueFd> claim(const PointName& point) const;
  // Changes what an existing point says about itself.
  Result<void> rewrite(const Point& point) const;
  // From here on it is no point any more, but in Listing::removed.
  Result<void> begin_removal(const PointName& point) const;
  // Removes its folder, which nobody needs any more.
  Result<void> remove_folder(const PointName& point) const;
  // The lock goes when nobody has this any more.
  int lock() const { return lock_.get(); }

 private:
  explicit Repository(std::filesystem::path path) : path_(std::move(path)) {}
  Result<Point> read(const PointName& name, const char* manifest) const;
  Result<void> check_format() const;
  Result<bool> has_format() const;
  Result<void> check_empty() const;
  Result<void> make_format() const;

  std::filesystem::path path_;  // absolute
  UniqueFd lock_;
};

}  // namespace blksnap::repo
