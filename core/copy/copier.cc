// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy/copier.h"

#include <algorithm>
#include <cerrno>

#include "base/zero.h"

namespace blksnap::copy {
namespace {

constexpr std::size_t kInFlight = 16;

// Large enough to be quick, small enough for the observer to be heard.
constexpr std::uint64_t kZeroAtOnce = 1024 * 1024 * 1024;

// Zeroes in what was read become holes in these units: with smaller ones the
// file would fall into pieces.
constexpr std::size_t kSparseUnit = 64 * 1024;

// How often the observer is asked, at least.
constexpr std::chrono::milliseconds kPoll{500};

}  // namespace

Copier::Copier(Source source, const CopyPlan& plan, Target& target,
               PullObserver& observer, Options options)
    : plan_(plan),
      target_(target),
      observer_(observer),
      options_(options),
      slots_(kInFlight),
      source_(std::move(source)) {
  for (Slot& slot : slots_) slot.buffer.resize(source_.request_size());
}

Result<void> Copier::run() {
  const std::uint64_t total = plan_.work();
  for (;;) {
    const bool due = milestone_due();
    if (!due)
      if (auto issued = issue(); !issued) return issued;
    const bool idle = std::all_of(slots_.begin(), slots_.end(), [](Slot& slot) {
      return slot.state == Slot::kIdle;
    });
    if (!observer_.proceed(read_bytes_ + zeroed_bytes_, total))
      return refuse(ECANCELED, "interrupted");
    if (idle && exhausted()) return {};
    if (idle && due) {
      if (auto noted = options_.milestones->reached(extent_start_ + used_,
                                                    read_bytes_, zeroed_bytes_);
          !noted)
        return noted;
      last_milestone_ = read_bytes_ + zeroed_bytes_;
      continue;
    }
    if (auto waited = wait(idle); !waited) return waited;
    for (Slot& slot : slots_)
      if (slot.state == Slot::kDone)
        if (auto finished = finish(slot); !finished) return finished;
  }
}

bool Copier::milestone_due() const {
  return options_.milestones && read_bytes_ + zeroed_bytes_ - last_milestone_ >=
                                    options_.milestones->distance();
}

// For replies, or until more may be read.
Result<void> Copier::wait(bool idle) {
  if (idle && pause_ == pause_.zero()) return {};
  auto most = kPoll;
  if (pause_ != pause_.zero())
    most = std::min(most, std::chrono::ceil<std::chrono::milliseconds>(pause_));
  return serve({source_.handle(), target_.connection()}, most, source_.uri());
}

// Fills the idle slots. Zeroes on the way, but one piece a call at most, so
// that answers that come in meanwhile do not wait for long.
Result<void> Copier::issue() {
  pause_ = pause_.zero();
  for (Slot& slot : slots_) {
    if (slot.state != Slot::kIdle) continue;
    while (!exhausted() && plan_.extents()[at_].flags == kLeave)
      next_piece(plan_.extents()[at_].length);
    if (exhausted()) break;
    if (plan_.extents()[at_].flags == kZero) {
      const ByteRange range = next_piece(kZeroAtOnce);
      if (auto zeroed = target_.zero(range); !zeroed) return zeroed;
      if (options_.witness)
        if (auto seen = options_.witness->saw_zeroes(range); !seen) return seen;
      zeroed_bytes_ += range.length;
      break;
    }
    const std::uint64_t length = next_read_length();
    if (options_.rate) {
      pause_ = options_.rate->take(length, RateLimit::Clock::now());
      if (pause_ != pause_.zero()) break;
    }
    if (auto started = start_read(slot, next_piece(length)); !started)
      return started;
  }
  return {};
}

// Up to a multiple of the request size, so that what follows is aligned.
// Rounding to blocks at both ends does not make it longer than a buffer.
std::uint64_t Copier::next_read_length() const {
  const std::uint64_t start = extent_start_ + used_;
  const std::uint64_t most =
      source_.request_size() - start % source_.request_size();
  return std::min(most, plan_.extents()[at_].length - used_);
}

// The next part of the plan's current extent.
ByteRange Copier::next_piece(std::uint64_t at_most) {
  const Extent& extent = plan_.extents()[at_];
  const ByteRange piece{extent_start_ + used_,
                        std::min(at_most, extent.length - used_)};
  used_ += piece.length;
  if (used_ == extent.length) {
    ++at_;
    extent_start_ += extent.length;
    used_ = 0;
  }
  return piece;
}

// A foreign server's extents need not be aligned to its own blocks, but what
// is asked of it has to be. More is asked for then, and not used.
Result<void> Copier::start_read(Slot& slot, ByteRange wanted) {
  const std::uint64_t mask = source_.minimum_block() - 1;
  const std::uint64_t start = wanted.offset & ~mask;
  const std::uint64_t end =
      std::min((wanted.end() + mask) & ~mask, source_.size());
  slot.wanted = wanted;
  slot.asked = {start, end - start};
  slot.error = 0;
  slot.state = Slot::kInFlight;
  if (nbd_aio_pread(
          source_.handle(), slot.buffer.data(), slot.asked.length,
          slot.asked.offset,
          {.callback = on_completion, .user_data = &slot, .free = nullptr},
          0) == -1)
    return nbd_failure(source_.uri());
  return {};
}

// Called within nbd_poll() or nbd_aio_pread(), where libnbd must not be called.
int Copier::on_completion(void* user_data, int* error) {
  auto& slot = *static_cast<Slot*>(user_data);
  slot.error = *error;
  slot.state = Slot::kDone;
  return 1;  // retire the command
}

Result<void> Copier::finish(Slot& slot) {
  if (slot.error)
    return fail(slot.error, "read " + source_.uri() + " at " +
                                std::to_string(slot.asked.offset) + "+" +
                                std::to_string(slot.asked.length));
  const auto data =
      std::span<const std::byte>(slot.buffer)
          .subspan(slot.wanted.offset - slot.asked.offset, slot.wanted.length);
  slot.state = Slot::kIdle;
  read_bytes_ += slot.wanted.length;
  return store(slot.wanted.offset, data);
}

// Writes what is not zero, in runs as long as they come.
Result<void> Copier::store(std::uint64_t offset,
                           std::span<const std::byte> data) {
  if (!target_.sparse()) return store_run(offset, data, /*zero=*/false);
  while (!data.empty()) {
    const auto unit = [&](std::size_t at) {
      return data.subspan(at, std::min(kSparseUnit, data.size() - at));
    };
    const bool zero = all_zero(unit(0));
    std::size_t run = unit(0).size();
    while (run < data.size() && all_zero(unit(run)) == zero)
      run += unit(run).size();
    if (auto stored = store_run(offset, data.first(run), zero); !stored)
      return stored;
    offset += run;
    data = data.subspan(run);
  }
  return {};
}

Result<void> Copier::store_run(std::uint64_t offset,
                               std::span<const std::byte> data, bool zero) {
  const ByteRange range{offset, data.size()};
  const auto stored = zero ? target_.zero(range) : target_.write(offset, data);
  if (!stored || !options_.witness) return stored;
  return zero ? options_.witness->saw_zeroes(range)
              : options_.witness->saw(offset, data);
}

}  // namespace blksnap::copy
