// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <optional>
#include <span>

#include "base/result.h"
#include "checkpoint/names.h"
#include "kernel/filter.h"

namespace blksnap::tool {

// The histories of devices that the kernel keeps at the moment.
class Histories {
 public:
  // Of all devices of this machine, and of those that names are of. An error
  // where the kernel cannot be asked.
  static Result<Histories> look(std::span<const checkpoints::Named> names);

  // Can changes since then be told? Nothing where that is not known.
  std::optional<bool> stands(const cbt::Checkpoint& checkpoint) const;

 private:
  // Notes the history of a device, if it has one.
  void note(const Result<kernel::Filter>& device);

  std::map<kernel::Uuid, cbt::History> histories_;
  bool complete_ = true;  // was no device kept from us?
};

}  // namespace blksnap::tool
