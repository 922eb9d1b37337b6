// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/held_snapshot.h"

#include <utility>

#include "base/log.h"
#include "base/uuid.h"

namespace blksnap::kernel {

Result<HeldSnapshot> HeldSnapshot::take(Control control,
                                        std::span<const Filter> devices,
                                        const std::string& diff,
                                        std::uint64_t limit) {
  for (const Filter& device : devices) {
    const auto attached = device.attach();
    if (!attached) return attached.error();
    if (*attached) {
      logger().info("{}: changes are tracked from now on", device.device());
    }
  }
  const auto id = control.create(diff, limit);
  if (!id) return id.error();
  HeldSnapshot held(std::move(control), *id);
  for (const Filter& device : devices) {
    if (const auto added = device.snapshot_add(*id); !added) {
      return added.error();
    }
  }
  const auto taken = held.control_.take(*id, Control::Images::kReadOnly);
  if (!taken) return taken.error();
  return held;
}

HeldSnapshot::HeldSnapshot(HeldSnapshot&& other) noexcept
    : control_(std::move(other.control_)),
      id_(other.id_),
      held_(std::exchange(other.held_, false)) {}

HeldSnapshot::~HeldSnapshot() {
  if (!held_) return;
  const auto destroyed = control_.destroy(id_);
  if (destroyed) return;
  logger().error("{}; it is left behind: blksnap snapshot_destroy --id={}",
                 destroyed.error().message, to_string(id_));
}

}  // namespace blksnap::kernel
