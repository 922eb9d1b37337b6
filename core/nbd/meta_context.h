// SPDX-License-Identifier: LGPL-2.1-or-later
// The queries of NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT
// ("Metadata querying" of the NBD spec, and QEMU's docs/interop/nbd.rst for
// the qemu: namespace). No I/O, no state.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nbd/agreement.h"
#include "nbd/codec.h"

namespace blksnap::nbd {

// The data of both options; the strings point into it.
struct MetaContextQuery {
  std::string_view export_name;
  std::vector<std::string_view> queries;
};

// nullopt: counts or lengths do not fit the data, or a string is too long.
std::optional<MetaContextQuery> parse_meta_context(
    std::span<const std::byte> data);

// Names to list, in the export's order and each once. Without queries all;
// "base:", "qemu:" and "qemu:dirty-bitmap:" stand for all that begin so; any
// other query for exactly itself, whether listed by default or not. Queries
// that find nothing are ignored.
std::vector<std::string> list_contexts(const exports::Export& served,
                                       std::span<const std::string_view> asked);

// Contexts of exactly the names asked for, in that order and each name once:
// clients repeat names, and count extents twice if they get two chunks.
// Unknown names, wildcards among them, select nothing. nullopt: above
// kMaxContexts.
std::optional<std::vector<SelectedContext>> select_contexts(
    const exports::Export& served, std::span<const std::string_view> asked);

}  // namespace blksnap::nbd
