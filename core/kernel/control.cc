// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/control.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/uuid.h"
#include "kernel/raw_uuid.h"
#include "uapi/blksnap.h"

namespace blksnap::kernel {
namespace {

constexpr std::uint64_t kSector = 512;

}  // namespace

Result<Control> Control::open(const System& system) {
  const std::string path = system.dev() + BLKSNAP_CONTROL_NAME;
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd) return Control(system, std::move(fd));
  const int code = errno;
  Error error = fail(code, "open " + path);
  if (code == ENOENT) error.message += " (is the module blksnap loaded?)";
  if (code == EACCES || code == EPERM) error.message += " (this needs root)";
  return error;
}

Result<Version> Control::version() const {
  blksnap_version raw{};
  const int code = system_->ioctl(fd_.get(), BLKSNAP_IOCTL_VERSION, &raw);
  if (code != 0) {
    return ioctl_error(code, "ask blksnap for its version", "VERSION");
  }
  return Version{raw.major, raw.minor, raw.revision, raw.build};
}

Result<Uuid> Control::create(const std::string& diff,
                             std::uint64_t limit) const {
  blksnap_snapshot_create raw{};
  raw.diff_storage_limit_sect = limit / kSector;
  raw.diff_storage_filename = reinterpret_cast<std::uintptr_t>(diff.c_str());
  const int code =
      system_->ioctl(fd_.get(), BLKSNAP_IOCTL_SNAPSHOT_CREATE, &raw);
  if (code != 0) {
    return ioctl_error(
        code, "create a snapshot with difference storage " + diff,
        "SNAPSHOT_CREATE",
        {{EINVAL,
          "the storage must be a file, a directory or a block device, "
          "and have a limit of a sector at least"},
         {ENOSPC,
          "the storage is larger than the limit, or its file system has no "
          "room"},
         {EBUSY, "the storage is in use"}});
  }
  return from_kernel(raw.id);
}

Result<void> Control::take(const Uuid& id, Images images) const {
  blksnap_snapshot_take raw{};
  raw.id = to_kernel(id);
  raw.flags = BLKSNAP_TAKE_READ_ONLY;
  int code = ENOTTY;
  if (images == Images::kReadOnly)
    code = system_->ioctl(fd_.get(), BLKSNAP_IOCTL_SNAPSHOT_TAKE_FLAGS, &raw);
  if (code == ENOTTY)
    code = system_->ioctl(fd_.get(), BLKSNAP_IOCTL_SNAPSHOT_TAKE, &raw.id);
  if (code == 0) return {};
  return ioctl_error(code, "take snapshot " + to_string(id), "SNAPSHOT_TAKE",
                     {{ESRCH, "there is no such snapshot"},
                      {EALREADY, "it is taken"},
                      {ENODEV, "it has no devices"}});
}

Result<void> Control::destroy(const Uuid& id) const {
  blksnap_uuid raw = to_kernel(id);
  const int code =
      system_->ioctl(fd_.get(), BLKSNAP_IOCTL_SNAPSHOT_DESTROY, &raw);
  if (code == 0) return {};
  return ioctl_error(code, "destroy snapshot " + to_string(id),
                     "SNAPSHOT_DESTROY",
                     {{ENODEV, "there is no such snapshot"}});
}

Result<std::vector<Uuid>> Control::collect() const {
  std::vector<blksnap_uuid> raw;
  // The first round asks for the count; others follow only if snapshots were
  // made meanwhile.
  for (;;) {
    blksnap_snapshot_collect ask{};
    ask.count = static_cast<std::uint32_t>(raw.size());
    ask.ids = raw.empty() ? 0 : reinterpret_cast<std::uintptr_t>(raw.data());
    const int code =
        system_->ioctl(fd_.get(), BLKSNAP_IOCTL_SNAPSHOT_COLLECT, &ask);
    if (code != 0 && code != ENODATA) {
      return ioctl_error(code, "list the snapshots", "SNAPSHOT_COLLECT");
    }
    const bool complete = code == 0 && ask.count <= raw.size();
    raw.resize(ask.count);
    if (complete) break;
  }
  std::vector<Uuid> ids;
  std::transform(raw.begin(), raw.end(), std::back_inserter(ids), from_kernel);
  return ids;
}

Result<Statistics> Control::statistics(const Uuid& id) const {
  blksnap_snapshot_statistics raw{};
  raw.id = to_kernel(id);
  const int code =
      system_->ioctl(fd_.get(), BLKSNAP_IOCTL_SNAPSHOT_STATISTICS, &raw);
  if (code != 0) {
    return ioctl_error(code, "ask for statistics of snapshot " + to_string(id),
                       "SNAPSHOT_STATISTICS",
                       {{ENOTTY, "this module blksnap has none"},
                        {ESRCH, "there is no such snapshot"}});
  }
  return Statistics{.storage_limit = raw.storage_limit,
                    .storage_size = raw.storage_size,
                    .storage_used = raw.storage_used,
                    .chunks = raw.chunks,
                    .copies = raw.copies,
                    .copies_queued = raw.copies_queued,
                    .waits = raw.waits};
}

Result<Event> Control::wait_event(const Uuid& id,
                                  std::chrono::milliseconds timeout) const {
  blksnap_snapshot_event raw{};
  raw.id = to_kernel(id);
  raw.timeout_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(
      timeout.count(), 0, std::numeric_limits<std::uint32_t>::max()));
  const int code =
      system_->ioctl(fd_.get(), BLKSNAP_IOCTL_SNAPSHOT_WAIT_EVENT, &raw);
  if (code != 0) {
    return ioctl_error(code, "wait for events of snapshot " + to_string(id),
                       "SNAPSHOT_WAIT_EVENT",
                       {{ENOENT, "nothing happened in time"},
                        {ESRCH, "there is no such snapshot"}});
  }
  Event event;
  event.time = raw.time_label;
  if (raw.code == BLKSNAP_EVENT_CODE_CORRUPTED) {
    blksnap_event_corrupted data;
    std::memcpy(&data, raw.data, sizeof(data));
    event.what = Corrupted{data.dev_id_mj, data.dev_id_mn, data.err_code};
  } else if (raw.code == BLKSNAP_EVENT_CODE_NO_SPACE) {
    blksnap_event_no_space data;
    std::memcpy(&data, raw.data, sizeof(data));
    event.what = NoSpace{data.requested_nr_sect * kSector};
  } else {
    event.what = UnknownEvent{raw.code};
  }
  return event;
}

}  // namespace blksnap::kernel
