// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/given_names.h"

#include <filesystem>
#include <utility>

#include "base/log.h"
#include "checkpoint/store.h"

namespace blksnap::exports {

std::string names_file(const Settings& settings) {
  if (settings.checkpoints.empty()) return checkpoints::kDefaultFile;
  // It is read again later, and daemons change their working directory.
  return std::filesystem::absolute(settings.checkpoints);
}

std::vector<checkpoints::Named> GivenNames::read() const {
  auto names = checkpoints::read_names(path_);
  std::string complaint = names ? "" : names.error().message;
  {
    const std::lock_guard lock(mutex_);
    if (complaint == complaint_)
      complaint.clear();
    else
      complaint_ = complaint;
  }
  // Whoever connects makes us read: one line, not one for each of them.
  if (!complaint.empty())
    logger().error("names of checkpoints are not offered: {}", complaint);
  if (!names) return {};
  return std::move(*names);
}

}  // namespace blksnap::exports
