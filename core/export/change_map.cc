// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/change_map.h"

#include <utility>

namespace blksnap::exports {

Result<cbt::ChangeMap> make_change_map(const kernel::Filter& filter,
                                       kernel::FrozenMap frozen) {
  const kernel::CbtInfo& info = frozen.info;
  auto map = cbt::ChangeMap::make(
      info.capacity, info.block_size,
      cbt::Checkpoint{info.generation, info.changes_number},
      std::move(frozen.bytes));
  if (!map) return context(filter.device(), map.error());
  return map;
}

}  // namespace blksnap::exports
