// SPDX-License-Identifier: LGPL-2.1-or-later
// What a pull does with each byte of an export, worked out from block status
// before anything is written. No I/O here.
#pragma once

#include <cstdint>
#include <vector>

#include "base/extents.h"
#include "base/range.h"
#include "base/result.h"

namespace blksnap::copy {

// The flags of a plan's extents.
enum PlanFlag : std::uint32_t {
  kLeave = 0,  // unchanged: the target has these bytes already
  kRead = 1,   // read from the server, write to the target
  kZero = 2,   // reads as zeroes: make zeroes of it without reading
};

// One answer to BLOCK_STATUS, as it came. A context that was not asked for is
// empty; lengths may run past what was asked, and differ between contexts.
struct BlockStatus {
  std::vector<Extent> allocation;  // base:allocation
  std::vector<Extent> changes;     // qemu:dirty-bitmap:*
};

class CopyPlan {
 public:
  // For an export of `size` bytes. What the answers will hold: with neither
  // context everything is read, and nothing has to be asked.
  CopyPlan(std::uint64_t size, bool with_allocation, bool with_changes);

  bool complete() const { return builder_.complete(); }
  // First byte that no answer has covered yet.
  std::uint64_t covered_end() const { return builder_.covered_end(); }

  // Takes the answer to a question for `asked`, which starts at or before
  // covered_end(). Only what every context covers counts. EPROTO with a
  // sentence: the answer is not one that a sane server gives (a context is
  // missing, an extent is empty, a dirty flag is neither 0 nor 1, nothing new
  // is covered); ENOMEM: too fragmented to hold.
  Result<void> add(ByteRange asked, const BlockStatus& status);

  // In order, without gaps from 0; flags are PlanFlag. Whole once complete().
  const std::vector<Extent>& extents() const { return builder_.extents(); }

  // The same of a complete plan, but nothing is to be done before `position`.
  CopyPlan after(std::uint64_t position) const;

  // The same of a complete plan, with one thing to do for each `unit` bytes (a
  // power of two): read if any of them is to be read, or some are to be zeroed
  // and others left.
  CopyPlan in_units_of(std::uint64_t unit) const;

  // Bytes that are planned to be read or zeroed.
  std::uint64_t work() const;

 private:
  bool with_allocation_;
  bool with_changes_;
  ExtentBuilder builder_;
};

}  // namespace blksnap::copy
