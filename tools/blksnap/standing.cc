// SPDX-License-Identifier: LGPL-2.1-or-later
#include "standing.h"

#include <cerrno>
#include <set>
#include <string>
#include <utility>

#include "export/change_map.h"
#include "kernel/control.h"
#include "kernel/devices.h"

namespace blksnap::tool {
namespace {

// Does it say that there is no history, rather than that we may not know?
bool says_none(const Error& error) {
  switch (error.code) {
    case ENOENT:   // no such device, or no filter on it
    case ENOTBLK:  // something else by now
    case ENODEV:
    case ENXIO:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<Histories> Histories::look(std::span<const checkpoints::Named> names) {
  // Without the module devices look as if none of them were tracked.
  if (auto control = kernel::Control::open(); !control) return control.error();
  auto tracked = kernel::tracked_devices();
  if (!tracked) return tracked.error();
  Histories histories;
  for (kernel::Filter& device : *tracked) histories.note(std::move(device));
  // Those that have their names from elsewhere, and those that we may not open.
  std::set<std::string> paths;
  for (const auto& named : names) paths.insert(named.device);
  for (const std::string& path : paths)
    histories.note(kernel::Filter::open(path));
  return histories;
}

void Histories::note(const Result<kernel::Filter>& device) {
  if (!device) {
    if (!says_none(device.error())) complete_ = false;
    return;
  }
  auto history = exports::read_history(*device);
  if (history)
    histories_[history->generation] = std::move(*history);
  else if (!says_none(history.error()))
    complete_ = false;
}

std::optional<bool> Histories::stands(const cbt::Checkpoint& checkpoint) const {
  const auto found = histories_.find(checkpoint.generation);
  if (found != histories_.end())
    return found->second.find(checkpoint).has_value();
  if (complete_) return false;
  return std::nullopt;
}

}  // namespace blksnap::tool
