// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/change_map.h"

#include <cerrno>

namespace blksnap::exports {

Result<cbt::ChangeMap> read_change_map(const kernel::Filter& filter) {
  const auto before = filter.cbt_info();
  if (!before) return before.error();
  auto bytes = filter.read_map(*before);
  if (!bytes) return bytes.error();
  const auto after = filter.cbt_info();
  if (!after) return after.error();
  if (*before != *after) {
    return refuse(EAGAIN, "the change map of " + filter.device() +
                              " was replaced while it was read");
  }
  auto map = cbt::ChangeMap::make(
      before->capacity, before->block_size,
      cbt::Checkpoint{before->generation, before->changes_number},
      std::move(*bytes));
  if (!map) return context(filter.device(), map.error());
  return map;
}

}  // namespace blksnap::exports
