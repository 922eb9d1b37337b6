// SPDX-License-Identifier: LGPL-2.1-or-later
// The whole picture: devices that are tracked, snapshots that are held.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/uuid.h"
#include "interrupt.h"
#include "kernel/control.h"
#include "kernel/devices.h"
#include "kernel/filter.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

using kernel::CbtInfo;
using kernel::Control;
using kernel::Filter;
using kernel::SnapshotInfo;
using kernel::Statistics;
using kernel::Uuid;

struct TrackedDevice {
  std::string path;
  CbtInfo info;
  // Bytes that changed between the last two takes; none before the first, and
  // where a take came between.
  std::optional<std::uint64_t> changed;
  std::optional<SnapshotInfo> image;  // in a snapshot that is taken
};

struct HeldSnapshot {
  Uuid id{};
  std::optional<Statistics> statistics;  // a module of others has none
  std::vector<std::string> devices;      // of one that is taken
};

struct Status {
  std::vector<TrackedDevice> devices;
  std::vector<HeldSnapshot> snapshots;
};

std::optional<std::uint64_t> changed_at_last_take(const Filter& device) {
  const auto map = device.read_map();
  if (!map || map->info.changes_number == 0) return std::nullopt;
  const auto blocks = static_cast<std::uint64_t>(std::count(
      map->bytes.begin(), map->bytes.end(), map->info.changes_number));
  // The last block may be a part of one.
  return std::min(blocks * map->info.block_size, map->info.capacity);
}

Result<Status> look() {
  const auto control = Control::open();
  if (!control) return control.error();
  const auto ids = control->collect();
  if (!ids) return ids.error();
  const auto tracked = kernel::tracked_devices();
  if (!tracked) return tracked.error();

  Status status;
  for (const Uuid& id : *ids) {
    HeldSnapshot& snapshot = status.snapshots.emplace_back();
    snapshot.id = id;
    if (auto told = control->statistics(id)) snapshot.statistics = *told;
  }
  for (const Filter& filter : *tracked) {
    const auto info = filter.cbt_info();
    if (!info) continue;  // detached meanwhile
    TrackedDevice& device = status.devices.emplace_back();
    device.path = filter.device();
    device.info = *info;
    device.changed = changed_at_last_take(filter);
    const auto image = filter.snapshot_info();
    if (!image || image->image.empty()) continue;
    device.image = *image;
    for (HeldSnapshot& snapshot : status.snapshots) {
      const auto in = kernel::is_in(filter, snapshot.id);
      if (in && *in) snapshot.devices.push_back(filter.device());
    }
  }
  return status;
}

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0
             ? 0
             : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

// What somebody should do something about.
std::vector<std::string> warnings_of(const Status& status) {
  constexpr double kNearlyFull = 80;
  constexpr std::uint8_t kLastNumbers = 250;
  std::vector<std::string> warnings;
  for (const TrackedDevice& device : status.devices) {
    if (device.image && device.image->error_code != 0)
      warnings.push_back(
          fmt::format("{}: its image {} is lost: {}; destroy the snapshot and "
                      "take another one",
                      device.path, device.image->image,
                      std::strerror(-device.image->error_code)));
    if (device.info.changes_number >= kLastNumbers)
      warnings.push_back(fmt::format(
          "{}: take {} of 254 of this generation; after the last one a new "
          "generation begins, and the next backup is a full one",
          device.path, device.info.changes_number));
  }
  for (const HeldSnapshot& snapshot : status.snapshots) {
    if (!snapshot.statistics) continue;
    const Statistics& told = *snapshot.statistics;
    const double used = percent(told.storage_used, told.storage_limit);
    if (used >= kNearlyFull)
      warnings.push_back(fmt::format(
          "snapshot {}: {:.0f} % of its storage is used; when it is full, its "
          "images are lost",
          to_string(snapshot.id), used));
  }
  return warnings;
}

// "64K", "1.5G".
std::string size_text(std::uint64_t bytes) {
  static constexpr char kUnits[] = " KMGTPE";
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::strlen(kUnits); ++unit) value /= 1024;
  std::string text = unit == 0 || value >= 100 ? fmt::format("{:.0f}", value)
                                               : fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return unit == 0 ? text : text + kUnits[unit];
}

std::string text_of(const Status& status) {
  std::string text;
  if (status.devices.empty()) text += "No device is tracked.\n";
  std::size_t width = std::strlen("DEVICE");
  for (const TrackedDevice& device : status.devices)
    width = std::max(width, device.path.size());
  if (!status.devices.empty())
    text += fmt::format("{:{}}  {:>6}  {:36}  {:>4}  {:>5}  {:>14}  {}\n",
                        "DEVICE", width, "SIZE", "GENERATION", "TAKE", "BLOCK",
                        "CHANGED", "IMAGE");
  for (const TrackedDevice& device : status.devices) {
    const std::string changed =
        device.changed
            ? fmt::format("{} ({:.1f} %)", size_text(*device.changed),
                          percent(*device.changed, device.info.capacity))
            : "-";
    text += fmt::format(
        "{:{}}  {:>6}  {:36}  {:>4}  {:>5}  {:>14}  {}\n", device.path, width,
        size_text(device.info.capacity), to_string(device.info.generation),
        device.info.changes_number, size_text(device.info.block_size), changed,
        device.image ? device.image->image : "-");
  }
  if (!status.snapshots.empty())
    text += fmt::format("\n{:36}  {:>16}  {}\n", "SNAPSHOT", "STORAGE USED",
                        "DEVICES");
  for (const HeldSnapshot& snapshot : status.snapshots) {
    const std::string used =
        snapshot.statistics
            ? fmt::format("{} of {}",
                          size_text(snapshot.statistics->storage_used),
                          size_text(snapshot.statistics->storage_limit))
            : "-";
    text +=
        fmt::format("{:36}  {:>16}  {}\n", to_string(snapshot.id), used,
                    snapshot.devices.empty()
                        ? "(not taken)"
                        : fmt::format("{}", fmt::join(snapshot.devices, " ")));
  }
  for (const std::string& warning : warnings_of(status))
    text += "\nwarning: " + warning;
  return text.ends_with('\n') ? text : text + "\n";
}

Json json_of(const TrackedDevice& device) {
  Json object = {{"device", device.path},
                 {"device_capacity", device.info.capacity},
                 {"generation_id", to_string(device.info.generation)},
                 {"changes_number", device.info.changes_number},
                 {"block_size", device.info.block_size}};
  if (device.changed) object["changed_bytes"] = *device.changed;
  if (device.image) {
    object["image"] = device.image->image;
    object["error_code"] = device.image->error_code;
  }
  return object;
}

Json json_of(const HeldSnapshot& snapshot) {
  Json object = {{"id", to_string(snapshot.id)}, {"devices", snapshot.devices}};
  if (snapshot.statistics) {
    const Statistics& told = *snapshot.statistics;
    object["storage_limit"] = told.storage_limit;
    object["storage_size"] = told.storage_size;
    object["storage_used"] = told.storage_used;
    object["chunks"] = told.chunks;
    object["copies"] = told.copies;
    object["copies_queued"] = told.copies_queued;
    object["waits"] = told.waits;
  }
  return object;
}

Json json_of(const Status& status) {
  Json devices = Json::array(), snapshots = Json::array();
  for (const TrackedDevice& device : status.devices)
    devices.push_back(json_of(device));
  for (const HeldSnapshot& snapshot : status.snapshots)
    snapshots.push_back(json_of(snapshot));
  return {{"devices", std::move(devices)},
          {"snapshots", std::move(snapshots)},
          {"warnings", warnings_of(status)}};
}

void pause_for(unsigned seconds) {
  for (; seconds != 0 && !interrupted(); --seconds) ::sleep(1);
}

Result<ExitStatus> watch(const Output& output, unsigned seconds) {
  catch_interrupts();
  // Whoever reads this through a pipe wants each picture when it is taken.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string clear = isatty(STDOUT_FILENO) == 1 ? "\033[H\033[2J" : "";
  for (;;) {
    const auto status = look();
    if (!status) return status.error();
    output.say(clear + text_of(*status), json_of(*status));
    std::fflush(stdout);
    pause_for(seconds);
    if (interrupted()) return kSuccess;
  }
}

Run define_status(CLI::App& options) {
  auto seconds = std::make_shared<unsigned>(0);
  options
      .add_option("-w,--watch", *seconds,
                  "again every so many seconds, until a signal ends it")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 86400));
  return [seconds](const Output& output) -> Result<ExitStatus> {
    if (*seconds != 0) return watch(output, *seconds);
    const auto status = look();
    if (!status) return status.error();
    output.say(text_of(*status), json_of(*status));
    return kSuccess;
  };
}

constexpr Verb kVerbs[] = {
    {"status",
     "Print what is tracked, which snapshots are held, and what is "
     "wrong",
     "  blksnap status\n"
     "  blksnap status --watch 5\n"
     "  blksnap status --json | jq '.warnings[]'",
     define_status},
};

}  // namespace

std::span<const Verb> status_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
