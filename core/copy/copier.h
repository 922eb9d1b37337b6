// SPDX-License-Identifier: LGPL-2.1-or-later
// The data path of a pull: many reads in flight on one connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/range.h"
#include "base/result.h"
#include "copy/plan.h"
#include "copy/pull.h"
#include "copy/source.h"
#include "copy/target.h"

namespace blksnap::copy {

// Carries out a plan, once. One thread: libnbd's callbacks only note what is
// done, and all work happens between two calls of nbd_poll().
class Copier {
 public:
  // All of them are borrowed, but for the source, whose connection has to be
  // closed while the buffers are still there.
  Copier(Source source, const CopyPlan& plan, Target& target,
         PullObserver& observer);

  // Until all is written, or an error, or the observer stops it. Nothing is
  // synced. Bytes read and zeroed are in the counters below, also after errors.
  Result<void> run();

  std::uint64_t read_bytes() const { return read_bytes_; }
  std::uint64_t zeroed_bytes() const { return zeroed_bytes_; }

 private:
  // A buffer, and the request that is filling it.
  struct Slot {
    std::vector<std::byte> buffer;
    ByteRange asked;   // aligned to what the server wants
    ByteRange wanted;  // the part of it that is written
    enum { kIdle, kInFlight, kDone } state = kIdle;
    int error = 0;  // errno, once done
  };

  Result<void> issue();
  Result<void> start_read(Slot& slot, ByteRange wanted);
  Result<void> finish(Slot& slot);
  Result<void> store(std::uint64_t offset, std::span<const std::byte> data);
  ByteRange next_piece(std::uint64_t at_most);
  bool exhausted() const { return at_ == plan_.extents().size(); }
  static int on_completion(void* user_data, int* error);

  const CopyPlan& plan_;
  Target& target_;
  PullObserver& observer_;
  std::vector<Slot> slots_;
  Source source_;

  // How far the plan has been handed out: extent, its start, bytes of it used.
  std::size_t at_ = 0;
  std::uint64_t extent_start_ = 0;
  std::uint64_t used_ = 0;

  std::uint64_t read_bytes_ = 0;
  std::uint64_t zeroed_bytes_ = 0;
};

}  // namespace blksnap::copy
