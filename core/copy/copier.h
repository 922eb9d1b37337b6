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
#include "copy/rate_limit.h"
#include "copy/source.h"
#include "copy/target.h"
#include "copy/witness.h"

namespace blksnap::copy {

// For copies that are to be resumed.
class Milestones {
 public:
  virtual ~Milestones() = default;
  // Bytes read and zeroed after which the next one is due.
  virtual std::uint64_t distance() const = 0;
  // All that the plan says about what lies before `position` has been given to
  // the target and the witness; nothing is synced. Nothing is read meanwhile.
  // So much has been read and zeroed, in bytes.
  virtual Result<void> reached(std::uint64_t position, std::uint64_t read,
                               std::uint64_t zeroed) = 0;
};

// Carries out a plan, once. One thread: libnbd's callbacks only note what is
// done, and all work happens between two calls of nbd_poll().
class Copier {
 public:
  // Borrowed, as everything here is.
  struct Options {
    Witness* witness = nullptr;  // of what is written
    RateLimit* rate = nullptr;   // of what is read
    Milestones* milestones = nullptr;
  };
  // The source is owned: its connection has to be closed while the buffers are
  // still there.
  Copier(Source source, const CopyPlan& plan, Target& target,
         PullObserver& observer, Options options);
  Copier(Source source, const CopyPlan& plan, Target& target,
         PullObserver& observer)
      : Copier(std::move(source), plan, target, observer, Options()) {}

  // Until all is written, or an error, or the observer stops it. Nothing is
  // synced. Bytes read and zeroed are in the counters below, also after errors.
  Result<void> run();

  // After success of run(): it can be used again.
  Source take_source() { return std::move(source_); }

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
  Result<void> wait(bool idle);
  bool milestone_due() const;
  Result<void> start_read(Slot& slot, ByteRange wanted);
  Result<void> finish(Slot& slot);
  Result<void> store(std::uint64_t offset, std::span<const std::byte> data);
  Result<void> store_run(std::uint64_t offset, std::span<const std::byte> data,
                         bool zero);
  std::uint64_t next_read_length() const;
  ByteRange next_piece(std::uint64_t at_most);
  bool exhausted() const { return at_ == plan_.extents().size(); }
  static int on_completion(void* user_data, int* error);

  const CopyPlan& plan_;
  Target& target_;
  PullObserver& observer_;
  const Options options_;
  std::vector<Slot> slots_;
  Source source_;

  // How far the plan has been handed out: extent, its start, bytes of it used.
  std::size_t at_ = 0;
  std::uint64_t extent_start_ = 0;
  std::uint64_t used_ = 0;
  // For how long the rate allows no more to be read.
  RateLimit::Clock::duration pause_{};
  std::uint64_t last_milestone_ = 0;  // as work done

  std::uint64_t read_bytes_ = 0;
  std::uint64_t zeroed_bytes_ = 0;
};

}  // namespace blksnap::copy
