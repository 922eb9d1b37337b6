// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/devices.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "base/uuid.h"

namespace blksnap::kernel {
namespace {

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Is it worth opening the block device of this name in sysfs?
bool is_candidate(const std::filesystem::path& entry) {
  const std::string name = entry.filename();
  // Images of snapshots, and floppy drives, which start to spin.
  if (name.starts_with("blksnap") || name.starts_with("fd")) return false;
  return first_line(entry / "size") != "0";
}

// Device-mapper devices by the name that people gave them.
Result<Filter> open_entry(const std::filesystem::path& entry,
                          const System& system) {
  const std::string alias = first_line(entry / "dm" / "name");
  if (!alias.empty()) {
    auto filter = Filter::open(system.dev() + "mapper/" + alias, system);
    if (filter) return filter;
  }
  std::string name = entry.filename();
  std::replace(name.begin(), name.end(), '!', '/');  // as sysfs writes it
  return Filter::open(system.dev() + name, system);
}

// Those that are to be kept, of all block devices that can be opened; one is
// open at a time besides those, as there may be thousands.
template <class Keep>
Result<std::vector<Filter>> devices_that(Keep keep, const System& system) {
  const std::filesystem::path root = system.sys() + "class/block";
  std::error_code listing;
  std::vector<std::filesystem::path> entries;
  for (std::filesystem::directory_iterator at(root, listing), end;
       !listing && at != end; at.increment(listing)) {
    if (is_candidate(at->path())) entries.push_back(at->path());
  }
  if (listing) return fail(listing.value(), "list " + root.string());
  std::sort(entries.begin(), entries.end());

  std::vector<Filter> devices;
  for (const auto& entry : entries) {
    auto device = open_entry(entry, system);
    if (!device) continue;
    const Result<bool> kept = keep(*device);
    if (!kept) return kept.error();
    if (*kept) devices.push_back(std::move(*device));
  }
  return devices;
}

}  // namespace

Result<std::vector<Filter>> tracked_devices(const System& system) {
  return devices_that(
      [](const Filter& device) -> Result<bool> {
        return device.cbt_info().has_value();
      },
      system);
}

Result<bool> is_in(const Filter& device, const Uuid& id) {
  const auto info = device.snapshot_info();
  if (!info || info->image.empty()) return false;
  const auto added = device.snapshot_add(id);
  if (added) {
    return refuse(EPROTO, "the module blksnap has added " + device.device() +
                              " to snapshot " + to_string(id) +
                              ", which is taken");
  }
  if (added.error().code == EALREADY) return true;
  if (added.error().code == EBUSY) return false;
  return added.error();
}

Result<std::vector<Filter>> find_devices(const Control& control, const Uuid& id,
                                         const System& system) {
  const auto ids = control.collect();
  if (!ids) return ids.error();
  if (std::find(ids->begin(), ids->end(), id) == ids->end()) {
    return refuse(ENODEV, "there is no snapshot " + to_string(id));
  }
  auto devices = devices_that(
      [&](const Filter& device) { return is_in(device, id); }, system);
  if (!devices) return devices.error();
  if (devices->empty()) {
    return refuse(ENOENT, "snapshot " + to_string(id) +
                              " has no images to serve: is it taken?");
  }
  return devices;
}

}  // namespace blksnap::kernel
