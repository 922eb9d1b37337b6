// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/block_status.h"

#include <cassert>
#include <cerrno>
#include <utility>

namespace blksnap::nbd {

Result<std::vector<ContextStatus>> block_status(
    std::span<const SelectedContext> contexts, ByteRange range,
    std::size_t max_extents, std::vector<Extent> room) {
  assert(!contexts.empty() && !range.empty());
  // Each context is asked for no more than all before it could tell, so the
  // range left at the end is what the shortest answer covers.
  std::vector<ExtentBuilder> answers;
  answers.reserve(contexts.size());
  for (const SelectedContext& selected : contexts) {
    ExtentBuilder& answer =
        answers.emplace_back(range, max_extents, std::exchange(room, {}));
    if (auto filled = selected.context->extents(answer); !filled)
      return context("block status of " + selected.name, filled.error());
    // A reply without progress would have the client ask for ever.
    if (answer.covered_end() == range.offset)
      return refuse(EIO, "block status of " + selected.name +
                             ": the context gave no answer");
    range.length = answer.covered_end() - range.offset;
  }
  std::vector<ContextStatus> result;
  result.reserve(contexts.size());
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    answers[i].truncate(range.end());
    result.push_back({contexts[i].id, answers[i].take_extents()});
  }
  return result;
}

}  // namespace blksnap::nbd
