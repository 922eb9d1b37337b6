// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/backup.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "backup/disk_backup.h"
#include "backup/prepare.h"
#include "backup/prune.h"
#include "base/utc.h"
#include "base/uuid.h"
#include "repository/repository.h"
#include "repository/resume.h"

namespace blksnap::backup {
namespace {

namespace fs = std::filesystem;

Result<void> remove_tree(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) return fail(error.value(), "remove " + folder.string());
  return {};
}

std::string describe(const PreparedDisk& disk) {
  return disk.name + ": " +
         (disk.parent ? disk.why : "full backup: " + disk.why);
}

// All of them before anything is written: that one of them cannot be had is
// known early.
Result<std::vector<PreparedDisk>> prepare_all(
    const BackupRequest& request, const std::vector<SourceDisk>& sources,
    const repo::Repository& repository, const repo::Listing& listing,
    BackupObserver& observer) {
  std::vector<PreparedDisk> disks;
  for (const SourceDisk& source : sources) {
    auto disk = prepare(source, request, repository, listing);
    if (!disk) return disk.error();
    for (const PreparedDisk& other : disks)
      if (other.name == disk->name)
        return refuse(EINVAL, "two of the disks are called " + disk->name +
                                  ": give them names with --name");
    if (request.kind == BackupRequest::kIncremental && !disk->parent)
      return refuse(ESTALE,
                    disk->name + ": no incremental backup: " + disk->why);
    disks.push_back(std::move(*disk));
  }
  for (const PreparedDisk& disk : disks) observer.note(describe(disk));
  return disks;
}

std::vector<repo::Undertaking> undertakings(
    const std::vector<PreparedDisk>& disks) {
  std::vector<repo::Undertaking> made;
  for (const PreparedDisk& disk : disks)
    made.push_back({disk.name, disk.parent, disk.since,
                    disk.source.checkpoint(), disk.source.size()});
  return made;
}

// Backs up the disks of a set, several at a time.
class Workers {
 public:
  Workers(std::vector<PreparedDisk> disks, const SetOfDisks& set)
      : disks_(std::move(disks)), set_(set), records_(disks_.size()) {}

  Result<std::vector<repo::DiskRecord>> run(unsigned parallel,
                                            std::atomic<bool>& stop) {
    {
      std::vector<std::jthread> threads;
      const std::size_t count =
          std::clamp<std::size_t>(parallel, 1, disks_.size());
      for (std::size_t i = 0; i < count; ++i)
        threads.emplace_back([&] { work(stop); });
    }
    if (!failure_) return failure_.error();
    std::vector<repo::DiskRecord> records;
    for (auto& record : records_) records.push_back(std::move(*record));
    return records;
  }

 private:
  void work(std::atomic<bool>& stop) {
    for (std::size_t i; !stop && (i = next_++) < disks_.size();) {
      auto record = one(i);
      if (record) {
        records_[i] = std::move(*record);
        continue;
      }
      // The first failure is the cause; the others only hear of it.
      const std::lock_guard lock(mutex_);
      if (failure_) failure_ = record.error();
      stop = true;
    }
  }

  Result<repo::DiskRecord> one(std::size_t i) {
    const std::string name = disks_[i].name;
    try {
      auto record = back_up_disk(std::move(disks_[i]), set_);
      if (!record) return context(name, record.error());
      return record;
    } catch (const std::exception& error) {
      return refuse(ENOMEM, name + ": " + error.what());
    }
  }

  std::vector<PreparedDisk> disks_;
  const SetOfDisks& set_;
  std::vector<std::optional<repo::DiskRecord>> records_;
  std::atomic<std::size_t> next_{0};
  std::mutex mutex_;
  Result<void> failure_;  // guarded by mutex_
};

// What is not taken up is removed.
Result<void> heal(const repo::Repository& repository,
                  const std::optional<repo::PointName>& resumed,
                  BackupObserver& observer) {
  const auto partial = repository.partial_folders();
  if (!partial) return partial.error();
  for (const fs::path& folder : *partial) {
    const std::string name = folder.filename().string();
    if (resumed && folder == repository.partial_folder(*resumed)) {
      observer.note("taking up what a backup that broke has left: " + name);
      continue;
    }
    observer.note("removing what a backup that broke has left: " + name);
    if (auto removed = remove_tree(folder); !removed) return removed;
  }
  return repository.remove_temporary_files();
}

Result<void> make_folder(const fs::path& folder, const std::string& words) {
  if (::mkdir(folder.c_str(), 0700) == -1)
    return fail(errno, "make " + folder.string());
  return words.empty() ? Result<void>() : repo::leave_words(folder, words);
}

// Nothing is left of a backup that failed, but what the next one can use; a
// full disk is better off without that, too.
Error clear_up(const fs::path& folder, bool resumable, Error error) {
  if (resumable && error.code != ENOSPC && repo::worth_keeping(folder)) {
    error.message +=
        "; the next backup of this instant goes on where this one ended";
  } else {
    (void)remove_tree(folder);
  }
  return context("no point was made", std::move(error));
}

}  // namespace

Result<BackupReport> run_backup(const BackupRequest& request,
                                BackupObserver& observer) {
  const std::time_t now = std::time(nullptr);
  const auto repository = repo::Repository::open_to_write(
      request.repository, "blksnap backup", repo::Repository::kMakeIfEmpty);
  if (!repository) return repository.error();
  tell_upgrade(*repository, observer);
  finish_removals(*repository, observer);
  const auto listing = repository->list();
  if (!listing) return listing.error();
  if (listing->unsure)
    observer.note(
        "whether a point is lost is not known, and the list of points "
        "is made anew: " +
        listing->unsure->message);
  for (const repo::Damage& damage : listing->damaged)
    observer.note("a damaged point is passed over: " + damage.error.message);
  std::vector<SourceDisk> sources = request.disks;
  if (request.serve)
    if (auto served = request.serve(sources); !served) return served.error();
  auto disks = prepare_all(request, sources, *repository, *listing, observer);
  if (!disks) return disks.error();
  const std::string words =
      repo::resume_words(undertakings(*disks), request.compress);
  const auto resumed = repo::point_to_resume(*repository, *listing, words);
  if (!resumed) return resumed.error();
  if (auto healed = heal(*repository, *resumed, observer); !healed)
    return healed.error();

  const repo::PointName point =
      *resumed ? **resumed : repo::PointName::next(now, listing->latest);
  const fs::path folder = repository->partial_folder(point);
  observer.writing();
  if (!*resumed)
    if (auto made = make_folder(folder, words); !made)
      return clear_up(folder, false, made.error());

  std::atomic<bool> stop = false;
  copy::RateLimit rate(request.rate);
  const SetOfDisks set{
      *repository,
      *listing,
      folder,
      request.compress,
      !words.empty(),
      rate,
      [&](const std::string& disk, std::uint64_t done, std::uint64_t total) {
        return observer.proceed(disk, done, total) && !stop;
      }};
  auto records = Workers(std::move(*disks), set).run(request.parallel, stop);
  repo::Manifest manifest{new_uuid(),
                          request.tool,
                          to_rfc3339(now),
                          to_rfc3339(std::time(nullptr)),
                          {}};
  if (!records) return clear_up(folder, !words.empty(), records.error());
  manifest.disks = std::move(*records);
  auto done = repo::forget(folder);
  if (done) done = repository->commit(point, manifest);
  if (!done) {
    // Renamed, but that may not have reached the disk.
    std::error_code error;
    if (!fs::exists(folder, error) && !error)
      return context(
          "point " + point.text() + " was made, but may not outlast a crash",
          done.error());
    return clear_up(folder, false, done.error());
  }
  // The point is one; the next writer puts it on the list.
  if (auto listed = repository->renew_catalogue({}); !listed)
    observer.note(
        "point " + point.text() +
        " is not on the list of points yet: " + listed.error().message);
  return BackupReport{point, std::move(manifest)};
}

}  // namespace blksnap::backup
