// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/device_catalogue.h"

#include <cerrno>

#include "base/uuid.h"

namespace blksnap::exports {
namespace {

constexpr std::string_view kChangedSuffix = "+changed";

// Why the map of `device` cannot tell what changed since `since`.
Error cannot_answer(const Device& device, const cbt::Checkpoint& since) {
  const std::string head = "checkpoint " + since.to_string();
  const cbt::Checkpoint& taken = device.map->taken();
  if (since.generation != taken.generation) {
    return refuse(ENOENT,
                  head + " is of generation " + to_string(since.generation) +
                      "; " + device.origin + "'s tracking is of generation " +
                      to_string(taken.generation) + ": take a full backup");
  }
  return refuse(ENOENT, head + " is still to come: the last one of " +
                            device.origin + " is " + taken.to_string());
}

Result<std::shared_ptr<Export>> find_view(std::shared_ptr<const Device> device,
                                          std::string_view suffix) {
  auto view = DeviceExport::View::kBitmap;
  if (suffix.ends_with(kChangedSuffix)) {
    suffix.remove_suffix(kChangedSuffix.size());
    view = DeviceExport::View::kChanged;
  }
  const auto since = cbt::Checkpoint::parse(suffix);
  if (!since) return refuse(ENOENT, since.error().message);
  if (!device->map) {
    return refuse(ENOENT, "changes of " + device->origin +
                              " are not known: there is no change map");
  }
  if (!device->map->answers(*since)) return cannot_answer(*device, *since);
  return std::make_shared<DeviceExport>(std::move(device), *since, view);
}

}  // namespace

Result<std::unique_ptr<Catalogue>> DeviceCatalogue::make(
    std::vector<Device> devices, std::shared_ptr<void> foundation) {
  std::vector<std::shared_ptr<const Device>> all;
  for (Device& device : devices) {
    for (const auto& other : all) {
      if (other->name != device.name) continue;
      return refuse(EINVAL, other->origin + " and " + device.origin +
                                " would both be the export '" + device.name +
                                "': serve them apart");
    }
    all.push_back(std::make_shared<const Device>(std::move(device)));
  }
  return std::unique_ptr<Catalogue>(
      new DeviceCatalogue(std::move(all), std::move(foundation)));
}

std::vector<Catalogue::Entry> DeviceCatalogue::list() const {
  std::vector<Entry> entries;
  const auto add = [&](const DeviceExport& shown) {
    entries.push_back({shown.name(), shown.description()});
  };
  for (const auto& device : devices_) {
    add(DeviceExport(device));
    if (const auto since = device->previous()) {
      add(DeviceExport(device, *since, DeviceExport::View::kBitmap));
      add(DeviceExport(device, *since, DeviceExport::View::kChanged));
    }
  }
  return entries;
}

Result<std::shared_ptr<Export>> DeviceCatalogue::find(
    std::string_view name) const {
  if (name.empty() && devices_.size() == 1) {
    return std::make_shared<DeviceExport>(devices_.front());
  }
  // A file's name may have an '@' of its own: as it stands comes first.
  if (auto found = device(name)) {
    return std::make_shared<DeviceExport>(std::move(found));
  }
  if (const auto at = name.rfind('@'); at != name.npos) {
    if (auto found = device(name.substr(0, at))) {
      return find_view(std::move(found), name.substr(at + 1));
    }
  }
  return unknown(name);
}

std::shared_ptr<const Device> DeviceCatalogue::device(
    std::string_view name) const {
  for (const auto& candidate : devices_) {
    if (candidate->name == name) return candidate;
  }
  return nullptr;
}

Error DeviceCatalogue::unknown(std::string_view name) const {
  std::string sentence = name.empty()
                             ? "there is no default export"
                             : "there is no export '" + std::string(name) + "'";
  sentence += "; served here:";
  for (const auto& device : devices_) sentence += " " + device->name;
  return refuse(ENOENT, sentence);
}

}  // namespace blksnap::exports
