// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/range.h"
#include "base/result.h"

namespace blksnap::copy {

// Is told what a copy holds, as it is written: each byte of the plan that is
// not left alone once, in any order. On the copying thread. An error ends the
// copy.
class Witness {
 public:
  virtual ~Witness() = default;
  virtual Result<void> saw(std::uint64_t offset,
                           std::span<const std::byte> data) = 0;
  virtual Result<void> saw_zeroes(ByteRange range) = 0;
};

}  // namespace blksnap::copy
