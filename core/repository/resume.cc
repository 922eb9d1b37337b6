// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/resume.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "base/json.h"
#include "io/file.h"
#include "repository/files.h"

namespace blksnap::repo {
namespace {

namespace fs = std::filesystem;

// Empty where it cannot be read.
std::string text_of(const fs::path& path) {
  auto text = read_text(path);
  return text ? std::move(*text) : std::string();
}

std::vector<fs::path> journals(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error))
    if (at->path().extension() == kJournal) found.push_back(at->path());
  return found;
}

}  // namespace

std::string resume_words(const std::vector<Undertaking>& disks, bool compress) {
  const std::string boot = text_of("/proc/sys/kernel/random/boot_id");
  if (boot.empty()) return {};
  Json list = Json::array();
  for (const Undertaking& disk : disks) {
    if (disk.checkpoint.empty()) return {};
    list.push_back({{"checkpoint", disk.checkpoint},
                    {"name", disk.name},
                    {"parent", disk.parent ? disk.parent->point.text() : ""},
                    {"parent_id", disk.parent ? disk.parent->id : ""},
                    {"since", disk.since},
                    {"size", disk.size}});
  }
  const Json object = {
      {"boot", boot}, {"compress", compress}, {"disks", std::move(list)}};
  return to_text(object);
}

Result<void> leave_words(const fs::path& folder, const std::string& words) {
  return replace_text(folder / kResumeFile, words);
}

Result<std::optional<PointName>> point_to_resume(const Repository& repository,
                                                 const Listing& listing,
                                                 const std::string& words) {
  std::optional<PointName> found;
  if (words.empty()) return found;
  const auto folders = repository.partial_folders();
  if (!folders) return folders.error();
  for (const fs::path& folder : *folders) {
    // "../PARENT" would be somewhere else.
    std::error_code error;
    if (fs::is_symlink(folder, error)) continue;
    const auto name = PointName::parse(folder.stem().string());
    if (name && name > listing.latest && text_of(folder / kResumeFile) == words)
      found = name;
  }
  return found;
}

Done done_so_far(const fs::path& path) {
  std::istringstream lines(text_of(path));
  Done done;
  for (std::string line; std::getline(lines, line);) {
    if (lines.eof()) break;  // half a line
    std::istringstream words(line);
    Done next;
    if (words >> next.position >> next.read_bytes >> next.zeroed_bytes)
      done = next;
  }
  return done;
}

Result<Journal> Journal::open(const fs::path& path) {
  Journal journal;
  journal.path_ = path.string();
  auto opened = io::open_plain(journal.path_, O_WRONLY | O_CREAT | O_APPEND);
  if (!opened) return opened.error();
  journal.fd_ = std::move(*opened);
  return journal;
}

Result<void> Journal::append(const Done& done) {
  const std::string line = std::to_string(done.position) + " " +
                           std::to_string(done.read_bytes) + " " +
                           std::to_string(done.zeroed_bytes) + "\n";
  const ssize_t put = ::write(fd_.get(), line.data(), line.size());
  if (put != static_cast<ssize_t>(line.size()))
    return fail(put == -1 ? errno : ENOSPC, "write " + path_);
  if (::fdatasync(fd_.get()) == -1) return fail(errno, "sync " + path_);
  return {};
}

bool worth_keeping(const fs::path& folder) {
  for (const fs::path& path : journals(folder))
    if (done_so_far(path).position != 0) return true;
  return false;
}

Result<void> forget(const fs::path& folder) {
  std::vector<fs::path> paths = journals(folder);
  paths.push_back(folder / kResumeFile);
  for (const fs::path& path : paths) {
    std::error_code error;
    fs::remove(path, error);
    if (error) return fail(error.value(), "remove " + path.string());
  }
  return {};
}

}  // namespace blksnap::repo
