// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <boost/uuid/uuid.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/system.h"

namespace blksnap::kernel {

using Uuid = boost::uuids::uuid;

struct Version {
  std::uint16_t major = 0, minor = 0, revision = 0, build = 0;
};

// The image of a device died; reads of it give EIO from then on.
struct Corrupted {
  std::uint32_t major = 0, minor = 0;  // of the original device
  int code = 0;                        // errno, positive
};
// The difference storage could not grow.
struct NoSpace {
  std::uint64_t requested = 0;  // bytes
};
// An event of a code that is not known here.
struct UnknownEvent {
  std::uint32_t code = 0;
};
struct Event {
  std::int64_t time = 0;  // nanoseconds since 1970
  std::variant<Corrupted, NoSpace, UnknownEvent> what;
};

// What a snapshot has cost since its take (kmod/uapi/blksnap.h).
struct Statistics {
  // Of the difference storage, in bytes: what it may take, has taken, and
  // holds.
  std::uint64_t storage_limit = 0, storage_size = 0, storage_used = 0;
  std::uint64_t chunks = 0;         // that were written to
  std::uint64_t copies = 0;         // of old data
  std::uint64_t copies_queued = 0;  // of them, not stored yet
  std::uint64_t waits = 0;          // of writers, for memory
};

// /dev/blksnap-control: snapshots as a whole. Errors are sentences that name
// the ioctl; their codes are those of kmod/uapi/blksnap.h. Any thread.
class Control {
 public:
  // ENOENT: is the module loaded?
  static Result<Control> open(const System& system = System::running());

  Result<Version> version() const;

  // An empty snapshot. `diff` is a file, directory or block device; `limit`,
  // in bytes, is rounded down to sectors.
  Result<Uuid> create(const std::string& diff, std::uint64_t limit) const;

  // Kinds of images that a snapshot gets. Read-only ones (see
  // BLKSNAP_TAKE_READ_ONLY of kmod/uapi/blksnap.h) cannot be mounted, or made a
  // part of a volume group or an array; a module that does not know them makes
  // writable ones.
  enum class Images { kWritable, kReadOnly };
  // Blocks while file systems are frozen.
  Result<void> take(const Uuid& id, Images images) const;
  Result<void> destroy(const Uuid& id) const;

  // All snapshots there are.
  Result<std::vector<Uuid>> collect() const;

  // ENOTTY: this module has none, it is not ours; ESRCH: no such snapshot.
  Result<Statistics> statistics(const Uuid& id) const;

  // Blocks until an event of the snapshot. ENOENT: there was none in time;
  // EINTR: a signal; ESRCH: no such snapshot (any more).
  Result<Event> wait_event(const Uuid& id,
                           std::chrono::milliseconds timeout) const;

 private:
  Control(const System& system, UniqueFd fd)
      : system_(&system), fd_(std::move(fd)) {}

  const System* system_;
  UniqueFd fd_;
};

}  // namespace blksnap::kernel
