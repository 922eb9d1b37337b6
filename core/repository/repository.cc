// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/repository.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <span>

#include "io/file.h"
#include "repository/files.h"
#include "repository/writer_lock.h"

namespace blksnap::repo {
namespace {

namespace fs = std::filesystem;

Error failed(const std::error_code& error, const std::string& what,
             const fs::path& path) {
  return fail(error.value(), what + " " + path.string());
}

Result<std::vector<std::string>> entries_of(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error))
    names.push_back(at->path().filename().string());
  if (error) return failed(error, "read", folder);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Result<void> check_outside_repositories(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::weakly_canonical(fs::absolute(path), error);
  if (error) return failed(error, "look at", path);
  for (fs::path folder = absolute.parent_path();;
       folder = folder.parent_path()) {
    const bool there = fs::exists(folder / kCatalogueFile, error);
    if (error) return failed(error, "look at", folder / kCatalogueFile);
    if (there)
      return refuse(EINVAL, path + " lies in the repository " +
                                folder.string() + ": give another place");
    if (folder == folder.parent_path()) return {};
  }
}

Result<bool> Repository::has_format() const {
  std::error_code error;
  const bool there = fs::exists(path_ / kCatalogueFile, error);
  if (error) return failed(error, "look at", path_ / kCatalogueFile);
  return there;
}

Result<Catalogue> Repository::catalogue() const {
  const fs::path file = path_ / kCatalogueFile;
  const auto text = read_text(file);
  if (!text) return text.error();
  auto parsed = parse_catalogue(*text);
  if (!parsed) return context(file.string(), parsed.error());
  if (parsed->damage) parsed->damage = context(file.string(), *parsed->damage);
  return parsed;
}

Result<void> Repository::write(const Catalogue& catalogue) const {
  return replace_text(path_ / kCatalogueFile, to_json(catalogue));
}

Result<void> Repository::renew_catalogue(
    const std::optional<PointName>& without) const {
  const auto before = catalogue();
  if (!before) return before.error();
  const auto listing = list();
  if (!listing) return listing.error();
  Catalogue now;
  // Damaged and lost points stay in it.
  now.points = before->points;
  for (const Point& point : listing->removed) now.points.erase(point.name);
  for (const Point& point : listing->points)
    now.points.insert_or_assign(point.name, point.manifest.id);
  if (without) now.points.erase(*without);
  if (now.points == before->points && !before->damage) return {};
  return write(now);
}

// What a break leaves of making one is no reason to refuse.
Result<void> Repository::check_empty() const {
  const auto names = entries_of(path_);
  if (!names) return names.error();
  for (const std::string& name : *names)
    if (name != kLockFile && !name.starts_with(kCatalogueFile))
      return refuse(ENOTEMPTY, path_.string() +
                                   ": not a repository, and not empty: it has "
                                   "'" +
                                   name + "' and no " +
                                   std::string(kCatalogueFile));
  return {};
}

Result<Repository> Repository::open(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::canonical(path, error);
  if (error) return failed(error, "open", path);
  Repository repository(absolute);
  const auto there = repository.has_format();
  if (!there) return there.error();
  if (!*there)
    return refuse(EINVAL, path + ": not a repository: it has no " +
                              std::string(kCatalogueFile));
  if (auto good = repository.catalogue(); !good) return good.error();
  return repository;
}

Result<Repository> Repository::open_to_write(const std::string& path,
                                             const std::string& who,
                                             Existence existence) {
  if (existence == kExisting)
    if (auto there = open(path); !there) return there.error();
  // What whole disks hold is for nobody else to read.
  if (::mkdir(path.c_str(), 0700) == -1 && errno != EEXIST)
    return fail(errno, "make " + path);
  std::error_code error;
  const fs::path absolute = fs::canonical(path, error);
  if (error) return failed(error, "open", path);
  Repository repository(absolute);
  // No file of ours comes to be in a folder of others.
  auto there = repository.has_format();
  if (!there) return there.error();
  if (!*there)
    if (auto empty = repository.check_empty(); !empty) return empty.error();
  auto lock = lock_to_write((absolute / kLockFile).string(), who);
  if (!lock) return lock.error();
  repository.lock_ = std::move(*lock);
  there = repository.has_format();
  if (!there) return there.error();
  if (!*there)
    if (auto made = repository.write({}); !made) return made.error();
  if (auto done = repository.upgrade(); !done) return done.error();
  return repository;
}

fs::path Repository::folder(const PointName& point) const {
  return path_ / point.text();
}

fs::path Repository::image(const PointName& point,
                           const DiskRecord& disk) const {
  return folder(point) / disk.image;
}

fs::path Repository::partial_folder(const PointName& point) const {
  return path_ / (point.text() + std::string(kPartial));
}

Result<Point> Repository::read(const PointName& name,
                               const Catalogue& catalogue,
                               std::string_view manifest) const {
  const fs::path file = folder(name) / manifest;
  const auto content = read_text(file);
  if (!content) return content.error();
  auto parsed = parse_manifest(*content, name);
  if (!parsed) return context(file.string(), parsed.error());
  const auto known = catalogue.points.find(name);
  if (known != catalogue.points.end() && known->second != parsed->id)
    return refuse(EILSEQ, file.string() + ": its id is not that of " +
                              std::string(kCatalogueFile));
  return Point{name, std::move(*parsed)};
}

// Reads the catalogue before the folders. A second look at it tells whether a
// point that is missing was removed meanwhile.
Result<Listing> Repository::list() const {
  const auto known = catalogue();
  if (!known) return known.error();
  const auto names = entries_of(path_);
  if (!names) return names.error();
  Listing listing;
  listing.unsure = known->damage;
  std::set<PointName> missing;
  for (const auto& [name, id] : known->points) missing.insert(name);
  for (const std::string& text : *names) {
    const auto name = PointName::parse(text);
    if (!name) continue;
    listing.latest = std::max(listing.latest, name);
    // Again where the file got its other name, or went, meanwhile.
    for (bool last : {false, true}) {
      std::error_code error;
      const bool removed = fs::exists(folder(*name) / kRemovedFile, error);
      auto point = read(*name, *known, removed ? kRemovedFile : kManifestFile);
      if (point) {
        (removed ? listing.removed : listing.points)
            .push_back(std::move(*point));
        missing.erase(*name);
        break;
      }
      if (!fs::exists(folder(*name), error) && !error) break;
      missing.erase(*name);
      if (last) listing.damaged.push_back({*name, point.error(), false});
    }
  }
  if (!missing.empty()) {
    const auto again = catalogue();
    if (!again) return again.error();
    for (const PointName& name : missing) {
      if (!again->points.contains(name)) continue;
      listing.latest = std::max(listing.latest, std::optional(name));
      listing.damaged.push_back(
          {name,
           refuse(ENOENT, folder(name).string() + " is not there, and " +
                              std::string(kCatalogueFile) +
                              " has it: the point is lost"),
           true});
    }
  }
  std::sort(listing.points.begin(), listing.points.end(),
            [](const Point& a, const Point& b) { return a.name < b.name; });
  return listing;
}

namespace {

std::uint64_t allocated(const fs::path& path) {
  constexpr std::uint64_t kStatUnit = 512;
  struct stat st;
  if (::lstat(path.c_str(), &st) == -1) return 0;
  return static_cast<std::uint64_t>(st.st_blocks) * kStatUnit;
}

// FILE.PID.tmp, as io::replace_file() calls it.
bool is_temporary(const std::string& name) {
  constexpr std::string_view kEnd = ".tmp";
  if (!name.ends_with(kEnd)) return false;
  const std::string_view rest =
      std::string_view(name).substr(0, name.size() - kEnd.size());
  const std::size_t dot = rest.rfind('.');
  if (dot == rest.npos || dot + 1 == rest.size()) return false;
  for (const std::string_view file :
       {kCatalogueFile, kManifestFile, kRemovedFile, kResumeFile})
    if (rest.substr(0, dot) == file)
      return rest.find_first_not_of("0123456789", dot + 1) == rest.npos;
  return false;
}

}  // namespace

Result<std::vector<fs::path>> Repository::leftovers() const {
  const auto names = entries_of(path_);
  if (!names) return names.error();
  std::vector<fs::path> found;
  for (const std::string& name : *names) {
    if (is_temporary(name)) found.push_back(name);
    const bool partial = name.ends_with(kPartial);
    const auto point = PointName::parse(std::string_view(name).substr(
        0, name.size() - (partial ? kPartial.size() : 0)));
    if (!point) continue;
    std::error_code error;
    if (partial || fs::exists(path_ / name / kRemovedFile, error)) {
      found.push_back(name);
      continue;
    }
    const auto files = entries_of(path_ / name);
    if (!files) continue;  // it may have gone
    for (const std::string& file : *files)
      if (is_temporary(file)) found.push_back(fs::path(name) / file);
  }
  return found;
}

Result<void> Repository::remove_temporary_files() const {
  const auto left = leftovers();
  if (!left) return left.error();
  for (const fs::path& name : *left) {
    std::error_code error;
    if (is_temporary(name.filename().string())) fs::remove(path_ / name, error);
    if (error) return failed(error, "remove", path_ / name);
  }
  return {};
}

std::uint64_t Repository::on_disk_bytes(const fs::path& name) const {
  const fs::path path = path_ / name;
  std::uint64_t bytes = allocated(path);
  std::error_code error;
  // The iterator would follow a link that it begins with.
  if (fs::is_symlink(path, error)) return bytes;
  for (fs::recursive_directory_iterator at(path, error), end;
       !error && at != end; at.increment(error))
    bytes += allocated(at->path());
  return bytes;
}

std::uint64_t Repository::on_disk_bytes(const Point& point,
                                        const DiskRecord& disk) const {
  return allocated(image(point.name, disk)) +
         allocated(folder(point.name) / disk.digests);
}

Result<std::vector<DigestTable>> Repository::tables(
    const std::vector<const Point*>& chain, std::string_view disk,
    const Blocks& blocks) const {
  std::vector<DigestTable> tables;
  for (const Point* point : chain) {
    const DiskRecord& record = *point->manifest.find(disk);
    auto table = DigestTable::open(
        (folder(point->name) / record.digests).string(), blocks);
    if (!table) return table.error();
    tables.push_back(std::move(*table));
  }
  return tables;
}

Result<std::vector<UniqueFd>> Repository::hold(
    const std::vector<const Point*>& chain) const {
  std::vector<UniqueFd> held;
  for (const Point* point : chain) {
    const fs::path path = folder(point->name);
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) return fail(errno, "open " + path.string());
    if (::flock(fd.get(), LOCK_SH | LOCK_NB) == -1)
      return errno == EWOULDBLOCK
                 ? refuse(EBUSY, path.string() + " is being removed")
                 : fail(errno, "lock " + path.string());
    held.push_back(std::move(fd));
  }
  return held;
}

Result<std::vector<fs::path>> Repository::partial_folders() const {
  const auto names = entries_of(path_);
  if (!names) return names.error();
  std::vector<fs::path> found;
  for (const std::string& name : *names)
    if (name.ends_with(kPartial) &&
        PointName::parse(
            std::string_view(name).substr(0, name.size() - kPartial.size())))
      found.push_back(path_ / name);
  return found;
}

// The order is that of FORMAT.md; images and tables are on stable storage
// already.
Result<void> Repository::commit(const PointName& point,
                                const Manifest& manifest) const {
  const fs::path partial = partial_folder(point);
  if (auto written =
          replace_text(partial / kManifestFile, to_json(point, manifest));
      !written)
    return written;  // the folder is synced by that, too
  if (::rename(partial.c_str(), folder(point).c_str()) == -1)
    return fail(errno, "rename " + partial.string());
  return io::sync_path(path_.string());
}

Result<void> Repository::check_place(const PointName& point) const {
  const fs::path path = folder(point);
  struct stat own, of_point;
  if (::stat(path_.c_str(), &own) == -1)
    return fail(errno, "look at " + path_.string());
  if (::lstat(path.c_str(), &of_point) == -1)
    return fail(errno, "look at " + path.string());
  if (S_ISDIR(of_point.st_mode) && of_point.st_dev == own.st_dev) return {};
  return refuse(EXDEV, path.string() +
                           " is not a directory on the repository's own file "
                           "system: move the point there first");
}

Result<UniqueFd> Repository::claim(const PointName& point) const {
  const fs::path path = folder(point);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(errno, "open " + path.string());
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  return errno == EWOULDBLOCK ? refuse(EBUSY, path.string() + " is being read")
                              : fail(errno, "lock " + path.string());
}

Result<void> Repository::rewrite(const Point& point) const {
  return replace_text(folder(point.name) / kManifestFile,
                      to_json(point.name, point.manifest));
}

Result<void> Repository::begin_removal(const PointName& point) const {
  const fs::path path = folder(point);
  if (auto renewed = renew_catalogue(point); !renewed) return renewed;
  if (::rename((path / kManifestFile).c_str(), (path / kRemovedFile).c_str()) ==
      -1)
    return fail(errno, "rename " + (path / kManifestFile).string());
  return io::sync_path(path.string());
}

Result<void> Repository::forget(const Damage& damage) const {
  if (damage.lost) return renew_catalogue(damage.point);
  const auto claimed = claim(damage.point);
  if (!claimed) return claimed.error();
  if (auto renewed = renew_catalogue(damage.point); !renewed) return renewed;
  return remove_folder(damage.point);
}

Result<void> Repository::remove_folder(const PointName& point) const {
  const fs::path partial = partial_folder(point);
  if (::rename(folder(point).c_str(), partial.c_str()) == -1)
    return fail(errno, "rename " + folder(point).string());
  if (auto synced = io::sync_path(path_.string()); !synced) return synced;
  std::error_code error;
  fs::remove_all(partial, error);
  if (error) return failed(error, "remove", partial);
  return {};
}

}  // namespace blksnap::repo
