// SPDX-License-Identifier: LGPL-2.1-or-later
// A backup that broke can be taken up again if it is of the very same instant.
//
//   NAME.partial/resume.json   what was being made, and in which run of the
//                              machine: taken up by a backup that would write
//                              the same words
//   NAME.partial/DISK.done     a line each milestone: position, bytes read,
//   bytes
//                              zeroed. All that the plan says about what lies
//                              before the position is on stable storage, in
//                              image and table, when the line is written.
//
// After a crash of the machine nothing is taken up: between two milestones QEMU
// does not keep the image sound (see image.cc), which the death of processes
// does no harm to, but that of the page cache may.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "repository/repository.h"

namespace blksnap::repo {

// What a backup is about to write, of one disk.
struct Undertaking {
  std::string name;
  std::optional<Parent> parent;  // none: full
  std::string since;             // the bitmap that was granted
  std::string checkpoint;        // of the source's instant
  std::uint64_t size = 0;        // bytes
};

// The words of resume.json; empty where a later run could not tell that it is
// of the same instant: a server does not say its checkpoint.
std::string resume_words(const std::vector<Undertaking>& disks, bool compress);

// Leaves them in the folder.
Result<void> leave_words(const std::filesystem::path& folder,
                         const std::string& words);

// The point that a broken backup was to make with these words, if there is one
// and it is still to be the newest.
Result<std::optional<PointName>> point_to_resume(const Repository& repository,
                                                 const Listing& listing,
                                                 const std::string& words);

// How far a disk is.
struct Done {
  std::uint64_t position = 0;  // offset on the disk
  std::uint64_t read_bytes = 0;
  std::uint64_t zeroed_bytes = 0;
};

// What the journal at `path` says last; nothing is done if it is not there.
Done done_so_far(const std::filesystem::path& path);

class Journal {
 public:
  static Result<Journal> open(const std::filesystem::path& path);
  // On stable storage when it returns.
  Result<void> append(const Done& done);

 private:
  std::string path_;
  UniqueFd fd_;
};

// Can a break of the backup in this folder be taken up with profit?
bool worth_keeping(const std::filesystem::path& folder);
// Takes all of the above away, before the commit.
Result<void> forget(const std::filesystem::path& folder);

}  // namespace blksnap::repo
