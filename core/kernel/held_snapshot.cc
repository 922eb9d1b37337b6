// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/held_snapshot.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "base/log.h"
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

// The device of this entry if it is in the snapshot.
Result<std::optional<Filter>> probe(const std::filesystem::path& entry,
                                    const Uuid& id, const System& system) {
  auto filter = open_entry(entry, system);
  if (!filter) return std::nullopt;
  const auto info = filter->snapshot_info();
  if (!info || info->image.empty()) return std::nullopt;
  const auto added = filter->snapshot_add(id);
  if (added) {
    return refuse(EPROTO, "the module blksnap has added " + filter->device() +
                              " to snapshot " + to_string(id) +
                              ", which is taken");
  }
  if (added.error().code == EALREADY) return std::move(*filter);
  if (added.error().code == EBUSY) return std::nullopt;
  return added.error();
}

}  // namespace

Result<HeldSnapshot> HeldSnapshot::take(Control control,
                                        std::span<const Filter> devices,
                                        const std::string& diff,
                                        std::uint64_t limit) {
  for (const Filter& device : devices) {
    const auto attached = device.attach();
    if (!attached) return attached.error();
    if (*attached) {
      logger().info("{}: changes are tracked from now on", device.device());
    }
  }
  const auto id = control.create(diff, limit);
  if (!id) return id.error();
  HeldSnapshot held(std::move(control), *id);
  for (const Filter& device : devices) {
    if (const auto added = device.snapshot_add(*id); !added) {
      return added.error();
    }
  }
  if (const auto taken = held.control_.take(*id); !taken) return taken.error();
  return held;
}

HeldSnapshot::HeldSnapshot(HeldSnapshot&& other) noexcept
    : control_(std::move(other.control_)),
      id_(other.id_),
      held_(std::exchange(other.held_, false)) {}

HeldSnapshot::~HeldSnapshot() {
  if (!held_) return;
  const auto destroyed = control_.destroy(id_);
  if (destroyed) return;
  logger().error("{}; it is left behind: blksnap snapshot_destroy --id={}",
                 destroyed.error().message, to_string(id_));
}

Result<std::vector<Filter>> find_devices(const Control& control, const Uuid& id,
                                         const System& system) {
  const auto all = control.collect();
  if (!all) return all.error();
  if (std::find(all->begin(), all->end(), id) == all->end()) {
    return refuse(ENODEV, "there is no snapshot " + to_string(id));
  }

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
    auto device = probe(entry, id, system);
    if (!device) return device.error();
    if (*device) devices.push_back(std::move(**device));
  }
  if (devices.empty()) {
    return refuse(ENOENT, "snapshot " + to_string(id) +
                              " has no images to serve: is it taken?");
  }
  return devices;
}

}  // namespace blksnap::kernel
