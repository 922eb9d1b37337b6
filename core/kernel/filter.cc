// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/filter.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/uuid.h"
#include "kernel/raw_uuid.h"
#include "uapi/blkfilter.h"
#include "uapi/blksnap.h"

namespace blksnap::kernel {
namespace {

constexpr std::uint32_t kMapPiece = 1024 * 1024;
constexpr int kMapTries = 3;

static_assert(sizeof(BLKSNAP_FILTER_NAME) <= BLKFILTER_NAME_LENGTH);

template <class Argument>
Argument addressed() {
  Argument argument{};
  std::memcpy(argument.name, BLKSNAP_FILTER_NAME, sizeof(BLKSNAP_FILTER_NAME));
  return argument;
}

constexpr Hint kNoHook{ENOTTY,
                       "the running kernel has no blkfilter: is the module "
                       "blkfilter loaded?"};
constexpr Hint kNotAttached{ENOENT, "no filter is attached"};
constexpr Hint kOther{EINVAL, "is another filter attached?"};

}  // namespace

struct Filter::MapCommand {
  std::uint32_t number;
  std::string_view name;
  std::string_view what;
};

Result<Filter> Filter::open(std::string device, const System& system) {
  auto fd = system.open_device(device);
  if (!fd) return fd.error();
  return Filter(system, std::move(device), std::move(*fd));
}

template <class Argument>
int Filter::control(std::uint32_t command, Argument& argument) const {
  auto call = addressed<blkfilter_ctl>();
  call.cmd = command;
  call.optlen = sizeof(argument);
  call.opt = reinterpret_cast<std::uintptr_t>(&argument);
  return system_->ioctl(fd_.get(), BLKFILTER_CTL, &call);
}

Result<bool> Filter::attach() const {
  auto call = addressed<blkfilter_attach>();
  const int code = system_->ioctl(fd_.get(), BLKFILTER_ATTACH, &call);
  if (code == 0) return true;
  if (code == EALREADY) return false;
  return ioctl_error(
      code, "attach the filter blksnap to " + device_, "BLKFILTER_ATTACH",
      {kNoHook,
       // Kernels answer EINVAL to unknown ioctls of a partition or dm device.
       {EINVAL, kNoHook.text},
       {ENOENT, "is the module blksnap loaded?"},
       {EBUSY,
        "another filter is attached, or it is a path of a multipath map: "
        "attach to the map"},
       {EOPNOTSUPP,
        "the device is zoned, or, if the kernel's log says so, this kernel's "
        "changes do not come by the hooks of blkfilter"}});
}

Result<void> Filter::detach() const {
  auto call = addressed<blkfilter_detach>();
  const int code = system_->ioctl(fd_.get(), BLKFILTER_DETACH, &call);
  if (code == 0) return {};
  return ioctl_error(
      code, "detach the filter blksnap from " + device_, "BLKFILTER_DETACH",
      {kNoHook, kNotAttached, kOther, {EBUSY, "it is in a snapshot"}});
}

Result<CbtInfo> Filter::cbt_info() const {
  blksnap_cbtinfo raw{};
  const int code = control(BLKFILTER_CTL_BLKSNAP_CBTINFO, raw);
  if (code != 0) {
    return ioctl_error(code, "ask about the change map of " + device_,
                       "CBTINFO", {kNoHook, kNotAttached, kOther});
  }
  CbtInfo info;
  info.capacity = raw.device_capacity;
  info.block_size = raw.block_size;
  info.block_count = raw.block_count;
  info.generation = from_kernel(raw.generation_id);
  info.changes_number = raw.changes_number;
  return info;
}

Result<Instants> Filter::instants() const {
  blksnap_cbtinstants raw{};
  const int code = control(BLKFILTER_CTL_BLKSNAP_CBTINSTANTS, raw);
  if (code != 0) {
    return ioctl_error(code, "ask about the takes of " + device_, "CBTINSTANTS",
                       {{ENOTTY, "this module keeps no instants of takes"},
                        kNotAttached,
                        kOther});
  }
  if (raw.changes_number > BLKSNAP_TAKES_MAX)
    return refuse(EPROTO, "the module tells of more takes of " + device_ +
                              " than a generation has");
  Instants told{from_kernel(raw.generation_id), {}};
  std::transform(raw.instants, raw.instants + raw.changes_number,
                 std::back_inserter(told.takes),
                 [](const blksnap_instant& take) {
                   return Instant{take.id, take.time};
                 });
  return told;
}

Result<FrozenMap> Filter::read_map() const {
  // In pieces, and a take in between would mix two maps.
  for (int i = 0; i < kMapTries; ++i) {
    const auto before = cbt_info();
    if (!before) return before.error();
    auto bytes =
        read_frozen({BLKFILTER_CTL_BLKSNAP_CBTMAP, "CBTMAP", "change map"},
                    before->block_count);
    if (!bytes) return bytes.error();
    auto discards = read_frozen(
        {BLKFILTER_CTL_BLKSNAP_CBTDISCARDS, "CBTDISCARDS", "discards"},
        before->block_count / 8 + (before->block_count % 8 != 0));
    if (!discards && discards.error().code != ENOTTY) return discards.error();
    auto takes = instants();
    if (!takes && takes.error().code != ENOTTY) return takes.error();
    const auto after = cbt_info();
    if (!after) return after.error();
    if (*before != *after) continue;
    FrozenMap map{*before, std::move(*bytes), {}, {}};
    if (takes) map.takes = std::move(takes->takes);
    if (discards) map.discards = std::move(*discards);
    return map;
  }
  return refuse(EAGAIN, "the change map of " + device_ +
                            " does not stand still: snapshots are being taken");
}

Result<std::vector<std::uint8_t>> Filter::read_frozen(
    const MapCommand& command, std::uint32_t length) const {
  std::vector<std::uint8_t> bytes(length);
  for (std::uint32_t offset = 0; offset < length;) {
    blksnap_cbtmap raw{};
    raw.offset = offset;
    raw.length = std::min(kMapPiece, length - offset);
    raw.buffer = reinterpret_cast<std::uintptr_t>(bytes.data() + offset);
    const int code = control(command.number, raw);
    if (code != 0) {
      return ioctl_error(
          code,
          "read the " + std::string(command.what) + " of " + device_ +
              " at byte " + std::to_string(offset),
          command.name,
          {kNoHook,
           kNotAttached,
           {ENODATA, "the map has become shorter"},
           {ESTALE,
            "the device was changed past the filter, or the virtual machine "
            "restored (see the kernel's log); take another snapshot and make a "
            "full backup"}});
    }
    offset += raw.length;
  }
  return bytes;
}

Result<void> Filter::mark_dirty(std::span<const Sectors> ranges) const {
  std::vector<blksnap_sectors> raw;
  std::transform(ranges.begin(), ranges.end(), std::back_inserter(raw),
                 [](const Sectors& range) {
                   return blksnap_sectors{.offset = range.offset,
                                          .count = range.count};
                 });
  blksnap_cbtdirty call{};
  call.count = static_cast<std::uint32_t>(raw.size());
  call.ranges = reinterpret_cast<std::uintptr_t>(raw.data());
  const int code = control(BLKFILTER_CTL_BLKSNAP_CBTDIRTY, call);
  if (code == 0) return {};
  return ioctl_error(code, "mark ranges of " + device_ + " as changed",
                     "CBTDIRTY",
                     {kNoHook,
                      kNotAttached,
                      {EINVAL, "a range is empty or not within the device"}});
}

Result<void> Filter::snapshot_add(const Uuid& id) const {
  blksnap_snapshotadd raw{};
  std::copy(id.begin(), id.end(), raw.id.b);
  const int code = control(BLKFILTER_CTL_BLKSNAP_SNAPSHOTADD, raw);
  if (code == 0) return {};
  return ioctl_error(
      code, "add " + device_ + " to snapshot " + to_string(id), "SNAPSHOTADD",
      {kNoHook,
       kNotAttached,
       {ESRCH, "there is no such snapshot"},
       {EALREADY, "it is in this snapshot"},
       {EBUSY,
        "it is in another snapshot or holds the difference storage, or "
        "this snapshot is taken"},
       {EPERM,
        "this needs root, CAP_SYS_ADMIN; or the disk has integrity data "
        "or inline encryption"}});
}

Result<SnapshotInfo> Filter::snapshot_info() const {
  blksnap_snapshotinfo raw{};
  const int code = control(BLKFILTER_CTL_BLKSNAP_SNAPSHOTINFO, raw);
  if (code != 0) {
    return ioctl_error(code, "ask about the snapshot of " + device_,
                       "SNAPSHOTINFO",
                       {kNoHook, kOther, {ENOENT, "it is in no snapshot"}});
  }
  SnapshotInfo info;
  info.error_code = raw.error_code;
  const auto* name = reinterpret_cast<const char*>(raw.image);
  if (const auto length = ::strnlen(name, sizeof(raw.image)); length != 0) {
    info.image = system_->dev() + std::string(name, length);
  }
  return info;
}

std::optional<Quiesced> Filter::quiesced() const {
  blksnap_quiesced raw{};
  if (control(BLKFILTER_CTL_BLKSNAP_SNAPSHOTQUIESCED, raw) != 0) return {};
  switch (raw.how) {
    case BLKSNAP_QUIESCED_SYNCED:
      return Quiesced::kSynced;
    case BLKSNAP_QUIESCED_FROZEN:
      return Quiesced::kFrozen;
    case BLKSNAP_QUIESCED_NOTHING:
      return Quiesced::kNothing;
    default:
      return Quiesced::kUnknown;
  }
}

std::string_view word_for(Quiesced how) {
  switch (how) {
    case Quiesced::kSynced:
      return "synced";
    case Quiesced::kFrozen:
      return "frozen";
    case Quiesced::kNothing:
      return "nothing";
    case Quiesced::kUnknown:
      break;
  }
  return "unknown";
}

}  // namespace blksnap::kernel
