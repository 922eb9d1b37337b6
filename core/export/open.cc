// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/open.h"

#include <cerrno>
#include <filesystem>

#include "cbt/map_file.h"
#include "export/device_catalogue.h"
#include "export/given_names.h"
#include "export/snapshot.h"
#include "image/raw_image.h"
#include "io/file.h"

namespace blksnap::exports {
namespace {

Result<std::unique_ptr<Catalogue>> open_file(const Settings& settings) {
  // A device is likely to be larger than the page cache.
  std::error_code ignored;
  const bool is_device = std::filesystem::is_block_file(settings.file, ignored);
  auto file = io::open_file(settings.file, {.writable = settings.read_write,
                                            .bypass_cache = is_device});
  if (!file) return file.error();

  Device device;
  device.name = settings.name;
  if (device.name.empty()) {
    device.name = std::filesystem::path(settings.file).filename();
  }
  device.origin = settings.file;
  device.rotational = io::rotational(settings.file);
  device.image = image::make_raw_image(std::move(*file), settings.read_write);
  if (!settings.cbt.empty()) {
    auto map = cbt::read_map(settings.cbt);
    if (!map) return map.error();
    if (map->capacity() != device.image->size()) {
      return refuse(EINVAL, settings.cbt + " is made of a device of " +
                                std::to_string(map->capacity()) +
                                " bytes, but " + settings.file + " has " +
                                std::to_string(device.image->size()));
    }
    device.map = std::make_shared<const cbt::ChangeMap>(std::move(*map));
  }
  std::vector<Device> devices;
  devices.push_back(std::move(device));
  return DeviceCatalogue::make(std::move(devices), names_file(settings));
}

}  // namespace

Result<std::unique_ptr<Catalogue>> open_catalogue(
    const Settings& settings, const kernel::System& system) {
  if (const auto fits = settings.check(); !fits) return fits.error();
  if (!settings.file.empty()) return open_file(settings);
  return settings.devices.empty() ? adopt_snapshot(settings, system)
                                  : take_snapshot(settings, system);
}

}  // namespace blksnap::exports
