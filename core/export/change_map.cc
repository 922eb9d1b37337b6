// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/change_map.h"

#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

namespace blksnap::exports {
namespace {

// `takes` is empty where the module keeps no instants.
cbt::History make_history(const kernel::Uuid& generation, std::uint8_t number,
                          const std::vector<kernel::Instant>& takes) {
  cbt::History history{generation, number};
  for (const kernel::Instant& take : takes) history.instants.push_back(take.id);
  return history;
}

}  // namespace

Result<cbt::ChangeMap> make_change_map(const kernel::Filter& filter,
                                       kernel::FrozenMap frozen) {
  const kernel::CbtInfo& info = frozen.info;
  auto map = cbt::ChangeMap::make(
      info.capacity, info.block_size,
      make_history(info.generation, info.changes_number, frozen.takes),
      std::move(frozen.bytes));
  if (!map) return context(filter.device(), map.error());
  return map;
}

Result<cbt::History> read_history(const kernel::Filter& filter) {
  const auto told = filter.instants();
  if (told)
    return make_history(told->generation,
                        static_cast<std::uint8_t>(told->takes.size()),
                        told->takes);
  if (told.error().code != ENOTTY) return told.error();
  const auto info = filter.cbt_info();
  if (!info) return info.error();
  return make_history(info->generation, info->changes_number, {});
}

}  // namespace blksnap::exports
