// SPDX-License-Identifier: LGPL-2.1-or-later
// The file that keeps the names of checkpoints (FORMAT.md).
//
// Crash rule: the file is only ever replaced as a whole (io::replace_file), so
// that whoever opens it sees all of an old or all of a new state, and needs no
// lock. Writers hold flock(2) on FILE.lock from before they read until the new
// file is in place and durable; the kernel drops the lock of who dies. FILE
// itself cannot be locked: it is another file after each change.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "checkpoint/names.h"
#include "io/file.h"

namespace blksnap::checkpoints {

inline constexpr char kDefaultFile[] = "/var/lib/blksnap/checkpoints.json";

// The names in the file; none if there is no file. A file that cannot be read
// or understood is an error that names it and the place, never "no names".
// Any thread.
Result<std::vector<Named>> read_names(const std::string& path);
Result<std::vector<Named>> read_names(const io::File& file);

// Is there such a file, for who named it? kDefaultFile need not be: it comes
// with the first name.
Result<void> check_present(const std::string& path);

// Changes the list that it is given, or says why not.
using Change = std::function<Result<void>(std::vector<Named>&)>;

// Reads, changes and writes anew, with no other writer in between. Where
// `change` fails, or leaves all as it was, nothing is written. Makes the file
// if there is none (readable by all, whatever the umask), and the directory of
// kDefaultFile, but no other. Blocks while others write. After an error the old
// state stands; but for "flush directory", where either may after a crash.
Result<void> change_names(const std::string& path, const Change& change);

}  // namespace blksnap::checkpoints
