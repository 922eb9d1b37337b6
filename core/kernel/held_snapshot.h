// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernel/control.h"
#include "kernel/filter.h"

namespace blksnap::kernel {

// One coherent snapshot of several devices, destroyed with this object. A
// device is in one snapshot at a time, so while this holds it nobody can take
// it again: its generation, its number and its frozen map stand still.
class HeldSnapshot {
 public:
  // Attaches the filter where it is missing, and leaves it attached: that is
  // what the next backup's changes are counted from. `limit` in bytes. On an
  // error nothing is left of the snapshot. Blocks while file systems freeze.
  static Result<HeldSnapshot> take(Control control,
                                   std::span<const Filter> devices,
                                   const std::string& diff,
                                   std::uint64_t limit);

  HeldSnapshot(HeldSnapshot&& other) noexcept;
  HeldSnapshot& operator=(HeldSnapshot&&) = delete;

  // Images that somebody still has open read EIO from then on. Logs it if the
  // snapshot cannot be destroyed, and leaves it behind.
  ~HeldSnapshot();

  const Uuid& id() const { return id_; }

  // The snapshot stays when this object goes.
  void release() { held_ = false; }

 private:
  HeldSnapshot(Control control, Uuid id)
      : control_(std::move(control)), id_(id) {}

  Control control_;
  Uuid id_;
  bool held_ = true;
};

}  // namespace blksnap::kernel
