// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <boost/uuid/uuid.hpp>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/system.h"

namespace blksnap::kernel {

using Uuid = boost::uuids::uuid;

// How changes of a device are tracked, and how far.
struct CbtInfo {
  std::uint64_t capacity = 0;    // of the device, bytes
  std::uint32_t block_size = 0;  // bytes
  std::uint32_t block_count = 0;
  Uuid generation{};
  std::uint8_t changes_number = 0;  // of the last take; 0 before the first
  bool operator==(const CbtInfo&) const = default;
};

// One take: generation and number name another one too, if the machine was
// restored to an earlier state; `id` differs then (kmod/uapi/blksnap.h).
struct Instant {
  std::uint64_t id = 0;   // random, never 0
  std::int64_t time = 0;  // nanoseconds since 1970, by the kernel's clock
  bool operator==(const Instant&) const = default;
};

// The takes of the generation that stands.
struct Instants {
  Uuid generation{};
  std::vector<Instant> takes;  // take number n at [n - 1]
};

// A change map as frozen at one take, a byte per block.
struct FrozenMap {
  CbtInfo info;
  std::vector<std::uint8_t> bytes;
  // Take n at [n - 1], up to the one that froze the map. Empty: the module
  // keeps no instants.
  std::vector<Instant> takes;
  // Frozen with it, a bit per block: discarded, and not written to since
  // (CBTDISCARDS of kmod/uapi/blksnap.h). Empty: the module does not tell.
  std::vector<std::uint8_t> discards;
};

// A range of a device in sectors of 512 bytes.
struct Sectors {
  std::uint64_t offset = 0;
  std::uint64_t count = 0;
  bool operator==(const Sectors&) const = default;
};

// How the file systems that stand on a device were at rest when it was taken
// (enum blksnap_quiesced_how of kmod/uapi/blksnap.h).
enum class Quiesced { kUnknown, kSynced, kFrozen, kNothing };
// "unknown", "synced", "frozen", "nothing".
std::string_view word_for(Quiesced how);

struct SnapshotInfo {
  int error_code = 0;  // 0, or the negative errno that the image died of
  std::string image;   // path of the image's device; empty before the take
};

// The filter "blksnap" on one block device, attached or not. Owns a descriptor
// of the device, not the attachment: tracking has to outlive every process.
// Errors are sentences that name the ioctl; their codes are those of
// kmod/uapi/{blkfilter,blksnap}.h. Any thread.
class Filter {
 public:
  static Result<Filter> open(std::string device,
                             const System& system = System::running());

  // As it was opened.
  const std::string& device() const { return device_; }

  // False: it was attached already.
  Result<bool> attach() const;
  Result<void> detach() const;

  Result<CbtInfo> cbt_info() const;

  // ENOTTY: this module keeps no instants.
  Result<Instants> instants() const;

  // The map frozen at the last take. It stands still while the device is in a
  // snapshot; else a take may come between, and it is read again. EAGAIN after
  // several of those.
  Result<FrozenMap> read_map() const;

  // All of the ranges, or none.
  Result<void> mark_dirty(std::span<const Sectors> ranges) const;

  // EALREADY: it is in this snapshot; EBUSY: in another, or too late.
  Result<void> snapshot_add(const Uuid& id) const;

  // ENOENT: the device is in no snapshot, or has no filter.
  Result<SnapshotInfo> snapshot_info() const;

  // Asks about the last take of a device that is in a snapshot. Nothing: the
  // snapshot is not taken yet, or the module does not tell.
  std::optional<Quiesced> quiesced() const;

 private:
  Filter(const System& system, std::string device, UniqueFd fd)
      : system_(&system), device_(std::move(device)), fd_(std::move(fd)) {}

  // All `length` bytes of what `command`, one of CBTMAP and CBTDISCARDS, reads.
  // No take comes between.
  struct MapCommand;
  Result<std::vector<std::uint8_t>> read_frozen(const MapCommand& command,
                                                std::uint32_t length) const;

  // Returns 0 or errno.
  template <class Argument>
  int control(std::uint32_t command, Argument& argument) const;

  const System* system_;
  std::string device_;
  UniqueFd fd_;
};

}  // namespace blksnap::kernel
