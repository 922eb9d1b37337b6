// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

#include "base/result.h"
#include "copy/plan.h"
#include "copy/pull.h"
#include "copy/source.h"
#include "copy/target.h"
#include "repository/digest_table.h"

namespace blksnap::backup {

// Blocks that do not have the digests they should have.
struct Comparison {
  std::uint64_t bad = 0;       // how many
  std::uint64_t first = 0;     // offset of the first of them
  std::uint64_t compared = 0;  // bytes read or known to be zero
};

// For copies of which nothing is kept.
class NoTarget : public copy::Target {
 public:
  bool sparse() const override { return true; }
  Result<void> write(std::uint64_t, std::span<const std::byte>) override {
    return {};
  }
  Result<void> zero(ByteRange) override { return {}; }
  Result<void> sync() override { return {}; }
};

// Copies what the plan says, and compares it with the digests meanwhile. That
// it differs is no error: all is copied.
Result<Comparison> copy_and_compare(copy::Source source,
                                    const copy::CopyPlan& plan,
                                    copy::Target& target,
                                    copy::PullObserver& observer,
                                    const repo::DigestChain& digests);

}  // namespace blksnap::backup
