// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "base/settings.h"
#include "checkpoint/names.h"

namespace blksnap::exports {

// The file that `settings` say, or the usual one; an absolute path.
std::string names_file(const Settings& settings);

// The names in a file of checkpoint names, as it is whenever it is asked for:
// people add names while a server runs. Any thread.
class GivenNames {
 public:
  explicit GivenNames(std::string path) : path_(std::move(path)) {}

  // All of them, of whatever device; none if there is no file. Where the file
  // is not fit to be read: none, and an error in the log, once until it is
  // another one.
  std::vector<checkpoints::Named> read() const;

 private:
  const std::string path_;
  mutable std::mutex mutex_;
  mutable std::string complaint_;  // guarded by mutex_
};

}  // namespace blksnap::exports
