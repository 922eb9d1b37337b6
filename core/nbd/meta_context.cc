// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/meta_context.h"

#include <algorithm>

namespace blksnap::nbd {

namespace {

bool wildcard(std::string_view query) {
  return query == "base:" || query == "qemu:" || query == "qemu:dirty-bitmap:";
}

}  // namespace

std::optional<MetaContextQuery> parse_meta_context(
    std::span<const std::byte> data) {
  Payload in(data);
  MetaContextQuery result;
  std::uint32_t count = 0;
  if (!in.string(result.export_name) || !in.u32(count)) return std::nullopt;
  // Each query takes 4 bytes at least: no count may make us reserve more
  // than the client has sent.
  if (count > in.left() / sizeof(wire::U32)) return std::nullopt;
  result.queries.resize(count);
  for (std::string_view& query : result.queries) {
    if (!in.string(query)) return std::nullopt;
  }
  if (in.left() != 0) return std::nullopt;
  return result;
}

std::vector<std::string> list_contexts(
    const exports::Export& served, std::span<const std::string_view> asked) {
  std::vector<std::string> names;
  const auto add = [&names](std::string_view name) {
    if (std::find(names.begin(), names.end(), name) == names.end())
      names.emplace_back(name);
  };
  const bool all = asked.empty();
  for (const auto& context : served.contexts()) {
    const std::string& name = context->name();
    const bool wanted =
        all || std::any_of(asked.begin(), asked.end(), [&](auto query) {
          return query == name || (wildcard(query) && name.starts_with(query));
        });
    if (wanted) add(name);
  }
  for (const std::string_view query : asked) {
    if (names.size() == kMaxContexts) break;
    if (served.find_context(query)) add(query);
  }
  return names;
}

std::optional<std::vector<SelectedContext>> select_contexts(
    const exports::Export& served, std::span<const std::string_view> asked) {
  std::vector<SelectedContext> selected;
  for (const std::string_view query : asked) {
    const bool again =
        std::any_of(selected.begin(), selected.end(),
                    [&](const auto& have) { return have.name == query; });
    if (again) continue;
    auto context = served.find_context(query);
    if (!context) continue;
    if (selected.size() == kMaxContexts) return std::nullopt;
    const auto id = static_cast<std::uint32_t>(selected.size() + 1);
    selected.push_back({id, std::string(query), std::move(context)});
  }
  std::vector<std::shared_ptr<const exports::Context>> all;
  for (const SelectedContext& one : selected) all.push_back(one.context);
  for (SelectedContext& one : selected) {
    if (auto other = one.context->among(all)) one.context = std::move(other);
  }
  return selected;
}

}  // namespace blksnap::nbd
