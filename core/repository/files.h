// SPDX-License-Identifier: LGPL-2.1-or-later
// The names of all that is in a repository, and its small files. FORMAT.md says
// what they are.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blksnap::repo {

constexpr std::string_view kCatalogueFile = "blksnap-repository.json";
constexpr std::string_view kLockFile = "lock";
// Files of a point, and the end of the name of a folder that is no point: one
// that is being made, or being removed.
constexpr std::string_view kManifestFile = "manifest.json";
constexpr std::string_view kRemovedFile = "manifest.removed.json";
constexpr std::string_view kPartial = ".partial";
// Ends of file names that begin with a disk's name.
constexpr std::string_view kImage = ".qcow2";
constexpr std::string_view kDigests = ".sums";
constexpr std::string_view kJournal = ".done";
// File of a point that is being made.
constexpr std::string_view kResumeFile = "resume.json";

// Reads a plain file of 16 MiB at most. A manifest of a thousand disks has one.
Result<std::string> read_text(const std::filesystem::path& path);
// Does io::replace_file().
Result<void> replace_text(const std::filesystem::path& path,
                          const std::string& text);

}  // namespace blksnap::repo
