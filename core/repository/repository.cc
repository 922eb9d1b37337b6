// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/repository.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "io/file.h"
#include "repository/writer_lock.h"

namespace blksnap::repo {
namespace {

namespace fs = std::filesystem;

constexpr char kFormatFile[] = "blksnap-repository.json";
constexpr char kLockFile[] = "lock";
constexpr char kManifestFile[] = "manifest.json";
constexpr char kRemovedFile[] = "manifest.removed.json";
constexpr std::string_view kPartial = ".partial";
constexpr int kFormat = 1;

Result<std::string> read_text(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  if (!in || !(text << in.rdbuf()))
    return fail(errno ? errno : EIO, "read " + path.string());
  return text.str();
}

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
    const bool there = fs::exists(folder / kFormatFile, error);
    if (error) return failed(error, "look at", folder / kFormatFile);
    if (there)
      return refuse(EINVAL, path + " lies in the repository " +
                                folder.string() + ": give another place");
    if (folder == folder.parent_path()) return {};
  }
}

Result<bool> Repository::has_format() const {
  std::error_code error;
  const bool there = fs::exists(path_ / kFormatFile, error);
  if (error) return failed(error, "look at", path_ / kFormatFile);
  return there;
}

Result<void> Repository::check_format() const {
  const auto text = read_text(path_ / kFormatFile);
  if (!text) return text.error();
  const auto object = parse_json(*text);
  if (!object || !object->is_object() ||
      object->value("format", Json()) != kFormat)
    return refuse(EINVAL, path_.string() +
                              ": a repository of a format that is not known "
                              "to this version");
  return {};
}

// What a break leaves of making one is no reason to refuse.
Result<void> Repository::check_empty() const {
  const auto names = entries_of(path_);
  if (!names) return names.error();
  for (const std::string& name : *names)
    if (name != kLockFile && !name.starts_with(kFormatFile))
      return refuse(ENOTEMPTY, path_.string() +
                                   ": not a repository, and not empty: it has "
                                   "'" +
                                   name + "' and no " + kFormatFile);
  return {};
}

Result<void> Repository::make_format() const {
  const std::string text = "{\"format\": " + std::to_string(kFormat) + "}\n";
  return io::replace_file((path_ / kFormatFile).string(),
                          std::as_bytes(std::span(text)));
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
                              std::string(kFormatFile));
  if (auto good = repository.check_format(); !good) return good.error();
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
    if (auto made = repository.make_format(); !made) return made.error();
  if (auto good = repository.check_format(); !good) return good.error();
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
                               const char* manifest) const {
  const fs::path file = folder(name) / manifest;
  const auto content = read_text(file);
  if (!content) return content.error();
  auto parsed = parse_manifest(*content);
  if (!parsed) return context(file.string(), parsed.error());
  return Point{name, std::move(*parsed)};
}

Result<Listing> Repository::list() const {
  const auto names = entries_of(path_);
  if (!names) return names.error();
  Listing listing;
  for (const std::string& text : *names) {
    const auto name = PointName::parse(text);
    if (!name) continue;
    listing.latest = std::max(listing.latest, name);
    // Again where the file got its other name, or went, meanwhile.
    for (bool last : {false, true}) {
      std::error_code error;
      const bool removed = fs::exists(folder(*name) / kRemovedFile, error);
      auto point = read(*name, removed ? kRemovedFile : kManifestFile);
      if (point) {
        (removed ? listing.removed : listing.points)
            .push_back(std::move(*point));
        break;
      }
      if (!fs::exists(folder(*name), error) && !error) break;
      if (last) listing.damaged.push_back({*name, point.error()});
    }
  }
  std::sort(listing.points.begin(), listing.points.end(),
            [](const Point& a, const Point& b) { return a.name < b.name; });
  return listing;
}

Result<std::vector<const Point*>> Repository::chain(const Listing& listing,
                                                    const Point& point,
                                                    std::string_view disk) {
  std::vector<const Point*> found;
  const Point* at = &point;
  for (;;) {
    const DiskRecord* record = at->manifest.find(disk);
    if (!record)
      return refuse(ENOENT, "point " + at->name.text() + " has no disk " +
                                std::string(disk));
    found.insert(found.begin(), at);
    if (!record->parent) return found;
    const Point* parent = listing.find(*record->parent);
    if (!parent || !(parent->name < at->name))
      return refuse(ENOENT, "point " + at->name.text() + " stands on " +
                                record->parent->text() +
                                ", which is not there");
    at = parent;
  }
}

std::uint64_t Repository::on_disk_bytes(const Point& point,
                                        const DiskRecord& disk) const {
  constexpr std::uint64_t kStatUnit = 512;
  std::uint64_t bytes = 0;
  for (const fs::path& path :
       {image(point.name, disk), folder(point.name) / disk.digests}) {
    struct stat st;
    if (::stat(path.c_str(), &st) == 0)
      bytes += static_cast<std::uint64_t>(st.st_blocks) * kStatUnit;
  }
  return bytes;
}

const Point* Listing::find(const PointName& name) const {
  for (const auto* list : {&points, &removed})
    for (const Point& point : *list)
      if (point.name == name) return &point;
  return nullptr;
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

// The order is that of "Resilience" in repository.h; images and tables are on
// stable storage already.
Result<void> Repository::commit(const PointName& point,
                                const Manifest& manifest) const {
  const fs::path partial = partial_folder(point);
  const std::string text = to_json(manifest);
  if (auto written = io::replace_file((partial / kManifestFile).string(),
                                      std::as_bytes(std::span(text)));
      !written)
    return written;  // the folder is synced by that, too
  if (::rename(partial.c_str(), folder(point).c_str()) == -1)
    return fail(errno, "rename " + partial.string());
  return io::sync_path(path_.string());
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
  const std::string text = to_json(point.manifest);
  return io::replace_file((folder(point.name) / kManifestFile).string(),
                          std::as_bytes(std::span(text)));
}

Result<void> Repository::begin_removal(const PointName& point) const {
  const fs::path path = folder(point);
  if (::rename((path / kManifestFile).c_str(), (path / kRemovedFile).c_str()) ==
      -1)
    return fail(errno, "rename " + (path / kManifestFile).string());
  return io::sync_path(path.string());
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
