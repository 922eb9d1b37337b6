// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/extents.h"
#include "base/result.h"
#include "nbd/agreement.h"

namespace blksnap::nbd {

// Extents in one chunk: the spec advises not above 2^20, and a known client
// refuses 2^20 itself.
inline constexpr std::size_t kMaxExtents = (std::size_t{1} << 20) - 1;
// In one reply: 32 bytes each while it is made.
inline constexpr std::size_t kMaxReplyExtents = std::size_t{4} << 20;

// Extents of each context in a reply to NBD_CMD_BLOCK_STATUS.
inline std::size_t max_extents(std::size_t contexts, bool one) {
  return one ? 1 : std::min(kMaxExtents, kMaxReplyExtents / contexts);
}

struct ContextStatus {
  std::uint32_t id = 0;  // of the context
  std::vector<Extent> extents;
};

// The answer to NBD_CMD_BLOCK_STATUS: every context once, in the order of
// selection, all ending at the same byte (invariant 4), none beyond `range`.
// They cover the range, unless one has more than `max_extents` (1 with
// NBD_CMD_FLAG_REQ_ONE). `range` lies within the export and is not empty.
// `room` is used for the first of them, which is often the only one. May block
// on I/O; any thread.
Result<std::vector<ContextStatus>> block_status(
    std::span<const SelectedContext> contexts, ByteRange range,
    std::size_t max_extents, std::vector<Extent> room = {});

}  // namespace blksnap::nbd
