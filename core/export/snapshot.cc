// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/snapshot.h"

#include <cerrno>
#include <cstdlib>

#include "base/device_names.h"
#include "base/log.h"
#include "base/uuid.h"
#include "export/change_map.h"
#include "export/device_catalogue.h"
#include "export/given_names.h"
#include "image/snapshot_image.h"
#include "io/file.h"
#include "kernel/devices.h"
#include "kernel/held_snapshot.h"

namespace blksnap::exports {
namespace {

// The error of reading an image that died of `code`, a negative errno.
Error corrupted(const kernel::Filter& filter, int code) {
  const std::string what =
      "the snapshot of " + filter.device() + " is corrupted";
  if (code == -ESTALE) {
    return Error{EIO, what +
                          ": the device was changed past the filter, or the "
                          "virtual machine restored (see the kernel's log); "
                          "the next backup is a full one"};
  }
  return Error{EIO, fail(std::abs(code), what).message};
}

// Does the kernel still stand by the image that `map`, if there is one, was
// read for? An adopted snapshot can be destroyed, and the device taken again,
// under us: its image then has the same name, but the numbers have moved on.
Result<void> check_alive(const kernel::Filter& filter,
                         const cbt::ChangeMap* map) {
  const auto info = filter.snapshot_info();
  if (!info) return Error{EIO, info.error().message};
  // Looks at the image first: what kills it with ESTALE also ends the
  // generation, and the error of the image says more.
  if (info->error_code != 0) return corrupted(filter, info->error_code);
  if (map) {
    const auto now = filter.cbt_info();
    if (!now) return Error{EIO, now.error().message};
    if (!map->taken().may_be({now->generation, now->changes_number})) {
      return refuse(EIO, "the snapshot of " + filter.device() +
                             " is gone: the device was taken again");
    }
  }
  return {};
}

// What the kernel remembers of a device for the image of its last take.
struct Memory {
  MapPtr map;
  image::Discards discards;
};

Result<Memory> recall(const kernel::Filter& filter, std::uint64_t image_size) {
  auto frozen = filter.read_map();
  if (!frozen) return frozen.error();
  image::Discards discards(frozen->info.block_size,
                           std::move(frozen->discards));
  auto map = make_change_map(filter, std::move(*frozen));
  if (!map) return map.error();
  if (map->capacity() != image_size) {
    return refuse(EINVAL, "the map is of " + std::to_string(map->capacity()) +
                              " bytes, the image has " +
                              std::to_string(image_size));
  }
  return Memory{std::make_shared<const cbt::ChangeMap>(std::move(*map)),
                std::move(discards)};
}

// Nothing, with a warning in the log, where it cannot be had or does not fit
// the image: unknown must not look unchanged (invariant 1), but a full backup
// can still be made.
Memory memory_for(const kernel::Filter& filter, std::uint64_t image_size) {
  auto memory = recall(filter, image_size);
  if (memory) return std::move(*memory);
  logger().warn("{}: changes are not offered: {}", filter.device(),
                memory.error().message);
  return {};
}

// The image of a device that is in the taken snapshot `id`, and its map. The
// map is read once, after the take: what others write to the image or mark as
// changed later does not show in it.
Result<Device> open_device(kernel::Filter opened, const std::string& name,
                           const kernel::Uuid& id) {
  const auto filter = std::make_shared<const kernel::Filter>(std::move(opened));
  const auto info = filter->snapshot_info();
  if (!info) return info.error();
  if (info->image.empty()) {
    return refuse(ENODEV, "the snapshot of " + filter->device() +
                              " has no image: is it taken?");
  }
  auto file = io::open_file(info->image, {.bypass_cache = true});
  if (!file) return file.error();

  Device device;
  device.name = name;
  device.origin = filter->device();
  device.rotational = io::rotational(device.origin);
  device.snapshot = to_string(id);
  if (const auto how = filter->quiesced()) device.quiesced = word_for(*how);
  Memory memory = memory_for(*filter, (*file)->size());
  device.map = std::move(memory.map);
  device.image = image::make_snapshot_image(
      std::move(*file),
      [filter, map = device.map] { return check_alive(*filter, map.get()); },
      std::move(memory.discards));
  return device;
}

Result<std::vector<Device>> open_devices(std::vector<kernel::Filter> filters,
                                         const kernel::Uuid& id,
                                         const std::string& name) {
  std::vector<std::string> paths;
  for (const kernel::Filter& filter : filters) paths.push_back(filter.device());
  const std::vector<std::string> names = device_names(paths);
  std::vector<Device> devices;
  for (std::size_t i = 0; i < filters.size(); ++i) {
    auto device = open_device(std::move(filters[i]), names[i], id);
    if (!device) return device.error();
    devices.push_back(std::move(*device));
  }
  if (!name.empty()) {
    if (devices.size() != 1) {
      return refuse(EINVAL, "name= is for a single export, but snapshot " +
                                to_string(id) + " has " +
                                std::to_string(devices.size()) + " devices");
    }
    devices.front().name = name;
  }
  return devices;
}

}  // namespace

Result<std::unique_ptr<Catalogue>> take_snapshot(const Settings& settings,
                                                 const kernel::System& system) {
  auto control = kernel::Control::open(system);
  if (!control) return control.error();
  std::vector<kernel::Filter> filters;
  for (const std::string& path : settings.devices) {
    auto filter = kernel::Filter::open(path, system);
    if (!filter) return filter.error();
    filters.push_back(std::move(*filter));
  }
  auto taken = kernel::HeldSnapshot::take(std::move(*control), filters,
                                          settings.diff, settings.limit);
  if (!taken) return taken.error();
  // Declared first and copied below: whatever fails from here on, the images
  // are closed before the snapshot is destroyed.
  const auto held = std::make_shared<kernel::HeldSnapshot>(std::move(*taken));

  auto devices = open_devices(std::move(filters), held->id(), settings.name);
  if (!devices) return devices.error();
  return DeviceCatalogue::make(std::move(*devices), names_file(settings), held);
}

Result<std::unique_ptr<Catalogue>> adopt_snapshot(
    const Settings& settings, const kernel::System& system) {
  const auto id = parse_uuid(settings.snapshot);
  if (!id) return id.error();
  const auto control = kernel::Control::open(system);
  if (!control) return control.error();
  auto filters = kernel::find_devices(*control, *id, system);
  if (!filters) return filters.error();
  auto devices = open_devices(std::move(*filters), *id, settings.name);
  if (!devices) return devices.error();
  return DeviceCatalogue::make(std::move(*devices), names_file(settings));
}

}  // namespace blksnap::exports
