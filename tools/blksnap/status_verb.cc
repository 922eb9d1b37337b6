// SPDX-License-Identifier: LGPL-2.1-or-later
// The whole picture: devices that are tracked, snapshots that are held.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/format.h"
#include "base/printable.h"
#include "base/utc.h"
#include "base/uuid.h"
#include "checkpoint/store.h"
#include "export/change_map.h"
#include "heat/heat.h"
#include "interrupt.h"
#include "kernel/control.h"
#include "kernel/devices.h"
#include "kernel/filter.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

using checkpoints::Named;
using kernel::CbtInfo;
using kernel::Control;
using kernel::Filter;
using kernel::Instant;
using kernel::Quiesced;
using kernel::SnapshotInfo;
using kernel::Statistics;
using kernel::Uuid;

// What changed from a checkpoint that has a name to the last take.
struct Since {
  Named named;
  std::uint64_t changed = 0;  // bytes
};

struct TrackedDevice {
  std::string path;
  CbtInfo info;
  // Of the last take; none before the first, and by a module that keeps none.
  std::optional<Instant> instant;
  // Bytes that changed between the last two takes, and that were marked since;
  // none before the first, and where a take came between.
  std::optional<std::uint64_t> changed;
  std::vector<Since> checkpoints;     // those that stand
  std::optional<SnapshotInfo> image;  // in a snapshot that is taken
  std::optional<Quiesced> quiesced;   // likewise; some modules do not tell
};

struct HeldSnapshot {
  Uuid id{};
  std::optional<Statistics> statistics;  // a module of others has none
  std::vector<std::string> devices;      // of one that is taken
};

struct Status {
  std::vector<TrackedDevice> devices;
  std::vector<HeldSnapshot> snapshots;
  std::string names_trouble;  // why no names are known, if so
};

// Bytes that an increment from take `number` to the last one holds: what
// changed between them, and what was marked by hand since, which has a later
// number.
std::uint64_t changed_since(const cbt::ChangeMap& map, std::uint8_t number) {
  return heat::Heat(map, number).tally({0, map.capacity()}).changed();
}

void look_at_changes(const Filter& filter, const std::vector<Named>& names,
                     TrackedDevice& device) {
  auto frozen = filter.read_map();
  if (!frozen || frozen->info.changes_number == 0) return;
  const std::uint8_t last = frozen->info.changes_number;
  const auto map = exports::make_change_map(filter, std::move(*frozen));
  if (!map) return;
  device.changed = changed_since(*map, static_cast<std::uint8_t>(last - 1));
  for (const Named& named : names) {
    if (map->answers(named.at))
      device.checkpoints.push_back(
          {named, changed_since(*map, named.at.number)});
  }
}

std::optional<Instant> last_instant(const Filter& filter, const CbtInfo& info) {
  const auto told = filter.instants();
  const std::size_t number = info.changes_number;
  if (!told || told->generation != info.generation || number == 0 ||
      told->takes.size() < number)
    return std::nullopt;
  return told->takes[number - 1];
}

Result<Status> look(const std::string& names_file) {
  const auto control = Control::open();
  if (!control) return control.error();
  const auto ids = control->collect();
  if (!ids) return ids.error();
  const auto tracked = kernel::tracked_devices();
  if (!tracked) return tracked.error();

  Status status;
  auto names = checkpoints::read_names(names_file);
  if (auto there = checkpoints::check_present(names_file); !there)
    names = there.error();
  if (!names) {
    status.names_trouble = names.error().message;
    names = std::vector<Named>();
  }
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
    device.instant = last_instant(filter, *info);
    look_at_changes(filter, *names, device);
    const auto image = filter.snapshot_info();
    if (!image || image->image.empty()) continue;
    device.image = *image;
    device.quiesced = filter.quiesced();
    for (HeldSnapshot& snapshot : status.snapshots) {
      const auto in = kernel::is_in(filter, snapshot.id);
      if (in && *in) snapshot.devices.push_back(filter.device());
    }
  }
  return status;
}

// What somebody should do something about.
std::vector<std::string> warnings_of(const Status& status) {
  constexpr double kNearlyFull = 80;
  constexpr std::uint8_t kLastNumbers = 250;
  std::vector<std::string> warnings;
  for (const TrackedDevice& device : status.devices) {
    if (device.image && device.image->error_code != 0)
      warnings.push_back(
          formatted("{}: its image {} is lost: {}; destroy the snapshot and "
                    "take another one",
                    device.path, device.image->image,
                    std::strerror(-device.image->error_code)));
    if (device.quiesced == Quiesced::kSynced)
      warnings.push_back(formatted(
          "{}: a file system on it could not be frozen; its image is as after "
          "a loss of power",
          device.path));
    if (device.info.changes_number >= kLastNumbers)
      warnings.push_back(formatted(
          "{}: take {} of 254 of this generation; after the last one a new "
          "generation begins, and the next backup is a full one",
          device.path, device.info.changes_number));
  }
  for (const HeldSnapshot& snapshot : status.snapshots) {
    if (!snapshot.statistics) continue;
    const Statistics& told = *snapshot.statistics;
    const double used = percent(told.storage_used, told.storage_limit);
    if (used >= kNearlyFull)
      warnings.push_back(formatted(
          "snapshot {}: {:.0f} % of its storage is used; when it is full, its "
          "images are lost",
          to_string(snapshot.id), used));
  }
  if (!status.names_trouble.empty())
    warnings.push_back("names of checkpoints are not known: " +
                       status.names_trouble);
  return warnings;
}

std::string changed_text(std::uint64_t changed, const CbtInfo& info) {
  return formatted("{} ({:.1f} %)", size_text(changed),
                   percent(changed, info.capacity));
}

std::string id_text(const Instant& instant) {
  return formatted("{:016x}", instant.id);
}

std::string time_text(const Instant& instant) {
  return to_rfc3339(static_cast<std::time_t>(instant.time / 1'000'000'000));
}

std::string names_text(const Status& status) {
  std::size_t width = std::strlen("CHECKPOINT");
  for (const TrackedDevice& device : status.devices)
    for (const Since& since : device.checkpoints)
      width = std::max(width, since.named.name.size());
  std::string text;
  for (const TrackedDevice& device : status.devices) {
    for (const Since& since : device.checkpoints)
      text += formatted("{:{}}  {:>4}  {:>20}  {}\n", since.named.name, width,
                        since.named.at.number,
                        changed_text(since.changed, device.info), device.path);
  }
  if (text.empty()) return text;
  return formatted("\n{:{}}  {:>4}  {:>20}  {}\n", "CHECKPOINT", width, "TAKE",
                   "CHANGED SINCE", "DEVICE") +
         text;
}

constexpr char kRow[] =
    "{:{}}  {:>6}  {:36}  {:>4}  {:>5}  {:>14}  {:18}  {:16}  {}\n";

std::string text_of(const Status& status) {
  std::string text;
  if (status.devices.empty()) text += "No device is tracked.\n";
  std::size_t width = std::strlen("DEVICE");
  for (const TrackedDevice& device : status.devices)
    width = std::max(width, device.path.size());
  if (!status.devices.empty())
    text += formatted(kRow, "DEVICE", width, "SIZE", "GENERATION", "TAKE",
                      "BLOCK", "CHANGED", "IMAGE", "INSTANT", "TAKEN");
  for (const TrackedDevice& device : status.devices) {
    const std::string changed =
        device.changed ? changed_text(*device.changed, device.info) : "-";
    text +=
        formatted(kRow, device.path, width, size_text(device.info.capacity),
                  to_string(device.info.generation), device.info.changes_number,
                  size_text(device.info.block_size), changed,
                  device.image ? device.image->image : "-",
                  device.instant ? id_text(*device.instant) : "-",
                  device.instant ? time_text(*device.instant) : "-");
  }
  text += names_text(status);
  if (!status.snapshots.empty())
    text += formatted("\n{:36}  {:>16}  {}\n", "SNAPSHOT", "STORAGE USED",
                      "DEVICES");
  for (const HeldSnapshot& snapshot : status.snapshots) {
    const std::string used =
        snapshot.statistics
            ? formatted("{} of {}",
                        size_text(snapshot.statistics->storage_used),
                        size_text(snapshot.statistics->storage_limit))
            : "-";
    std::string devices;
    for (const std::string& device : snapshot.devices)
      devices += (devices.empty() ? "" : " ") + device;
    text += formatted("{:36}  {:>16}  {}\n", to_string(snapshot.id), used,
                      devices.empty() ? "(not taken)" : devices);
  }
  for (const std::string& warning : warnings_of(status))
    text += "\nwarning: " + warning;
  return text.ends_with('\n') ? text : text + "\n";
}

JsonValue json_of(const TrackedDevice& device) {
  JsonValue object = {{"device", device.path},
                      {"device_capacity", device.info.capacity},
                      {"generation_id", to_string(device.info.generation)},
                      {"changes_number", device.info.changes_number},
                      {"block_size", device.info.block_size}};
  if (device.instant) {
    object.set("instant", id_text(*device.instant));
    object.set("taken", time_text(*device.instant));
  }
  if (device.changed) object.set("changed_bytes", *device.changed);
  JsonValue checkpoints = JsonValue::array();
  for (const Since& since : device.checkpoints) {
    checkpoints.push_back(
        {{"name", since.named.name},
         {"checkpoint", since.named.at.to_string()},
         {"changed_bytes", since.changed},
         {"changed_percent", percent(since.changed, device.info.capacity)}});
  }
  object.set("checkpoints", std::move(checkpoints));
  if (device.image) {
    object.set("image", device.image->image);
    object.set("error_code", device.image->error_code);
    if (device.quiesced)
      object.set("quiesced", std::string(word_for(*device.quiesced)));
  }
  return object;
}

JsonValue json_of(const HeldSnapshot& snapshot) {
  JsonValue object = {{"id", to_string(snapshot.id)},
                      {"devices", snapshot.devices}};
  if (snapshot.statistics) {
    const Statistics& told = *snapshot.statistics;
    object.set("storage_limit", told.storage_limit);
    object.set("storage_size", told.storage_size);
    object.set("storage_used", told.storage_used);
    object.set("chunks", told.chunks);
    object.set("copies", told.copies);
    object.set("copies_queued", told.copies_queued);
    object.set("waits", told.waits);
  }
  return object;
}

JsonValue json_of(const Status& status) {
  JsonValue devices = JsonValue::array(), snapshots = JsonValue::array();
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

Result<ExitStatus> watch(const Output& output, const std::string& names_file,
                         unsigned seconds) {
  catch_interrupts();
  // Whoever reads this through a pipe wants each picture when it is taken.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string clear = isatty(STDOUT_FILENO) == 1 ? "\033[H\033[2J" : "";
  for (;;) {
    const auto status = look(names_file);
    if (!status) return status.error();
    output.draw(clear + printable_lines(text_of(*status)), json_of(*status));
    std::fflush(stdout);
    pause_for(seconds);
    if (interrupted()) return kSuccess;
  }
}

Run define_status(cli::App options) {
  auto seconds = std::make_shared<unsigned>(0);
  options
      .add_option("-w,--watch", *seconds,
                  "again every so many seconds, until a signal ends it")
      .type_name("SECONDS")
      .check_range(1, 86400);
  auto names_file = std::make_shared<std::string>(checkpoints::kDefaultFile);
  options
      .add_option("--checkpoints", *names_file,
                  "the file that keeps names of checkpoints, if not the usual "
                  "one")
      .type_name("FILE");
  return [seconds, names_file](const Output& output) -> Result<ExitStatus> {
    if (*seconds != 0) return watch(output, *names_file, *seconds);
    const auto status = look(*names_file);
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
