// SPDX-License-Identifier: LGPL-2.1-or-later
// Where a copy is written to.
#pragma once

#include <libnbd.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/range.h"
#include "base/result.h"

namespace blksnap::copy {

// Offsets and lengths are in bytes; no byte is written twice. Not for several
// threads at once.
class Target {
 public:
  Target() = default;
  virtual ~Target() = default;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  // Does it pay to look for zeroes in what was read?
  virtual bool sparse() const = 0;

  // `data` is the caller's again when it returns; an error may also be told by
  // a later call.
  virtual Result<void> write(std::uint64_t offset,
                             std::span<const std::byte> data) = 0;
  // Makes the range read as zeroes, as a hole where that can be had.
  virtual Result<void> zero(ByteRange range) = 0;
  // Everything is on stable storage after this.
  virtual Result<void> sync() = 0;

  // The connection that what was written is still on its way through: whoever
  // waits for something else has to serve it as well. Null where there is none.
  virtual nbd_handle* connection() const { return nullptr; }
};

}  // namespace blksnap::copy
