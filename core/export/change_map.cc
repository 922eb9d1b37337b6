// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/change_map.h"

#include <cerrno>
#include <cstdint>
#include <utility>

namespace blksnap::exports {

Result<cbt::ChangeMap> make_change_map(const kernel::Filter& filter,
                                       kernel::FrozenMap frozen) {
  const kernel::CbtInfo& info = frozen.info;
  auto map =
      cbt::ChangeMap::make(info.capacity, info.block_size,
                           cbt::History{info.generation, info.changes_number,
                                        std::move(frozen.instants)},
                           std::move(frozen.bytes));
  if (!map) return context(filter.device(), map.error());
  return map;
}

Result<cbt::History> read_history(const kernel::Filter& filter) {
  const auto told = filter.instants();
  if (told) {
    cbt::History history{
        told->generation, static_cast<std::uint8_t>(told->takes.size()), {}};
    for (const kernel::Instant& take : told->takes)
      history.instants.push_back(take.id);
    return history;
  }
  if (told.error().code != ENOTTY) return told.error();
  const auto info = filter.cbt_info();
  if (!info) return info.error();
  return cbt::History{info->generation, info->changes_number, {}};
}

}  // namespace blksnap::exports
