// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/device_catalogue.h"

#include <cerrno>

namespace blksnap::exports {
namespace {

constexpr std::string_view kChangedSuffix = "+changed";

// Those that the map of `device` answers. No path is compared: a generation is
// of one device alone, whatever that was called when the name was given.
Names names_of(const Device& device, const Names& all) {
  Names names;
  for (const Named& named : all)
    if (device.map && device.map->answers(named.at)) names.push_back(named);
  return names;
}

// What `text` names, whether it can be answered or not: canonically, as a name
// of a history that stands, or as one that was given to this device before.
Result<Named> parse_checkpoint(const Device& device, const Names& names,
                               std::string text) {
  if (const auto canonical = cbt::Checkpoint::parse(text))
    return Named{std::move(text), {}, *canonical, 0};
  const Named* former = nullptr;
  for (const Named& named : names) {
    if (named.name != text) continue;
    if (device.map->answers(named.at)) return named;
    if (named.device == device.origin) former = &named;
  }
  if (former) return *former;
  return refuse(ENOENT, "'" + text +
                            "' is not a checkpoint: want "
                            "GENERATION.NUMBER.INSTANT, GENERATION.NUMBER, or "
                            "a name that was given to one");
}

}  // namespace

Result<std::unique_ptr<Catalogue>> DeviceCatalogue::make(
    std::vector<Device> devices, std::string names_file,
    std::shared_ptr<void> foundation) {
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
  return std::unique_ptr<Catalogue>(new DeviceCatalogue(
      std::move(all), std::move(names_file), std::move(foundation)));
}

std::vector<Catalogue::Entry> DeviceCatalogue::list() const {
  std::vector<Entry> entries;
  const auto add = [&](const DeviceExport& shown) {
    entries.push_back({shown.name(), shown.description()});
  };
  const auto add_views = [&](const auto& device, const auto& since) {
    add(DeviceExport(device, since, DeviceExport::View::kBitmap));
    add(DeviceExport(device, since, DeviceExport::View::kChanged));
  };
  const Names given = given_.read();
  for (const auto& device : devices_) {
    add(DeviceExport(device));
    if (const auto since = device->previous()) add_views(device, *since);
    for (const Named& named : names_of(*device, given))
      add_views(device, named);
  }
  return entries;
}

Result<std::shared_ptr<Export>> DeviceCatalogue::find(
    std::string_view name) const {
  if (name.empty() && devices_.size() == 1) {
    return find_device(devices_.front());
  }
  // A file's name may have an '@' of its own: as it stands comes first.
  if (auto found = device(name)) {
    return find_device(std::move(found));
  }
  if (const auto at = name.rfind('@'); at != name.npos) {
    if (auto found = device(name.substr(0, at))) {
      return find_view(std::move(found), name.substr(at + 1));
    }
  }
  return unknown(name);
}

std::shared_ptr<Export> DeviceCatalogue::find_device(
    std::shared_ptr<const Device> device) const {
  Names names;
  if (device->map) names = names_of(*device, given_.read());
  return std::make_shared<DeviceExport>(std::move(device), std::move(names));
}

Result<std::shared_ptr<Export>> DeviceCatalogue::find_view(
    std::shared_ptr<const Device> device, std::string_view suffix) const {
  auto view = DeviceExport::View::kBitmap;
  if (suffix.ends_with(kChangedSuffix)) {
    suffix.remove_suffix(kChangedSuffix.size());
    view = DeviceExport::View::kChanged;
  }
  if (!device->map) {
    return refuse(ENOENT, "changes of " + device->origin +
                              " are not known: there is no change map");
  }
  const Names given = given_.read();
  const auto since = parse_checkpoint(*device, given, std::string(suffix));
  if (!since) return since.error();
  if (!device->map->answers(since->at))
    return refuse(ENOENT, device->map->history().why_not(since->at, since->name,
                                                         device->origin));
  Names names = names_of(*device, given);
  return std::make_shared<DeviceExport>(std::move(device), *since, view,
                                        std::move(names));
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
