// SPDX-License-Identifier: LGPL-2.1-or-later
// A repository of backups: a folder. FORMAT.md says what is in it, and in which
// order it is written.
//
// A point is written under the name NAME.partial; everything in it is on stable
// storage, the manifest last, before the folder gets its name. The rename is
// the commit: whatever breaks before it leaves the points as they were. What a
// point holds never changes once it has its name, so reading needs no lock; who
// reads a point holds its folder with a shared lock, and who would remove one,
// or what it stands on, has to get an exclusive one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "repository/catalogue.h"
#include "repository/digest_table.h"
#include "repository/listing.h"
#include "repository/manifest.h"
#include "repository/names.h"

namespace blksnap::repo {

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

  // Finds what breaks have left: folders of points that are being made or
  // removed, and files that were to replace others. Those of a writer that is
  // at work look the same.
  // Returns their names below the repository.
  Result<std::vector<std::filesystem::path>> leftovers() const;
  // Returns what a file or folder below the repository takes, with all in it.
  std::uint64_t on_disk_bytes(const std::filesystem::path& name) const;
  // Returns what the image of a disk and its digests take.
  std::uint64_t on_disk_bytes(const Point& point, const DiskRecord& disk) const;

  // The tables of a Listing::chain(), or of nothing.
  Result<std::vector<DigestTable>> tables(
      const std::vector<const Point*>& chain, std::string_view disk,
      const Blocks& blocks) const;
  // Holds the points against being removed, for as long as it is there.
  Result<std::vector<UniqueFd>> hold(
      const std::vector<const Point*>& chain) const;

  // For writers.
  // Tells whether the repository was of an earlier format before it was opened.
  bool upgraded() const { return upgraded_; }
  std::filesystem::path partial_folder(const PointName& point) const;
  Result<std::vector<std::filesystem::path>> partial_folders() const;
  // Removes files that were to replace others when somebody was killed.
  Result<void> remove_temporary_files() const;
  Result<void> commit(const PointName& point, const Manifest& manifest) const;
  // Lists all points that there are in the catalogue, without this one.
  Result<void> renew_catalogue(const std::optional<PointName>& without) const;
  // Checks that files of the point can be renamed to those of another one:
  // EXDEV where its folder is a symbolic link, or lies on another file system.
  Result<void> check_place(const PointName& point) const;
  // Waits for nobody: EBUSY while somebody holds the point.
  Result<UniqueFd> claim(const PointName& point) const;
  // Changes what an existing point says about itself.
  Result<void> rewrite(const Point& point) const;
  // From here on it is no point any more, but in Listing::removed.
  Result<void> begin_removal(const PointName& point) const;
  // Removes its folder, which nobody needs any more.
  Result<void> remove_folder(const PointName& point) const;
  // Removes what is left of a point that is damaged or lost, and its place in
  // the catalogue.
  Result<void> forget(const Damage& damage) const;
  // The lock goes when nobody has this any more.
  int lock() const { return lock_.get(); }

 private:
  explicit Repository(std::filesystem::path path) : path_(std::move(path)) {}
  Result<Point> read(const PointName& name, const Catalogue& catalogue,
                     std::string_view manifest) const;
  Result<Catalogue> catalogue() const;
  Result<void> write(const Catalogue& catalogue) const;
  Result<bool> has_format() const;
  Result<void> check_empty() const;
  // What is missing of today's format.
  Result<void> upgrade();

  std::filesystem::path path_;  // absolute
  UniqueFd lock_;
  bool upgraded_ = false;
};

}  // namespace blksnap::repo
