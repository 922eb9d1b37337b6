// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy/copier.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace blksnap::copy {
namespace {

constexpr std::size_t kInFlight = 16;

// Large enough to be quick, small enough for the observer to be heard.
constexpr std::uint64_t kZeroAtOnce = 1024 * 1024 * 1024;

// Zeroes in what was read become holes in these units: with smaller ones the
// file would fall into pieces.
constexpr std::size_t kSparseUnit = 64 * 1024;

constexpr int kPollMilliseconds = 500;

bool all_zero(std::span<const std::byte> data) {
  return data.empty() ||
         (data[0] == std::byte{0} &&
          std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

}  // namespace

Copier::Copier(Source source, const CopyPlan& plan, Target& target,
               PullObserver& observer)
    : plan_(plan),
      target_(target),
      observer_(observer),
      slots_(kInFlight),
      source_(std::move(source)) {
  for (Slot& slot : slots_) slot.buffer.resize(source_.request_size());
}

Result<void> Copier::run() {
  const std::uint64_t total = plan_.work();
  for (;;) {
    if (auto issued = issue(); !issued) return issued;
    const bool idle = std::all_of(slots_.begin(), slots_.end(), [](Slot& slot) {
      return slot.state == Slot::kIdle;
    });
    if (!observer_.proceed(read_bytes_ + zeroed_bytes_, total))
      return refuse(ECANCELED, "interrupted");
    if (idle && exhausted()) return {};
    if (!idle && nbd_poll(source_.handle(), kPollMilliseconds) == -1)
      return nbd_failure(source_.uri());
    for (Slot& slot : slots_)
      if (slot.state == Slot::kDone)
        if (auto finished = finish(slot); !finished) return finished;
  }
}

// Fills the idle slots. Zeroes on the way, but one piece a call at most, so
// that answers that come in meanwhile do not wait for long.
Result<void> Copier::issue() {
  for (Slot& slot : slots_) {
    if (slot.state != Slot::kIdle) continue;
    while (!exhausted() && plan_.extents()[at_].flags == kLeave)
      next_piece(plan_.extents()[at_].length);
    if (exhausted()) break;
    if (plan_.extents()[at_].flags == kZero) {
      const ByteRange range = next_piece(kZeroAtOnce);
      if (auto zeroed = target_.zero(range); !zeroed) return zeroed;
      zeroed_bytes_ += range.length;
      break;
    }
    // Rounding to blocks at both ends must not make it longer than a buffer.
    const std::uint64_t start = extent_start_ + used_;
    const std::uint64_t lead = start & (source_.minimum_block() - 1);
    if (auto started =
            start_read(slot, next_piece(source_.request_size() - lead));
        !started)
      return started;
  }
  return {};
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
  if (!target_.sparse()) return target_.write(offset, data);
  while (!data.empty()) {
    const auto unit = [&](std::size_t at) {
      return data.subspan(at, std::min(kSparseUnit, data.size() - at));
    };
    const bool zero = all_zero(unit(0));
    std::size_t run = unit(0).size();
    while (run < data.size() && all_zero(unit(run)) == zero)
      run += unit(run).size();
    const auto stored = zero ? target_.zero({offset, run})
                             : target_.write(offset, data.first(run));
    if (!stored) return stored;
    offset += run;
    data = data.subspan(run);
  }
  return {};
}

}  // namespace blksnap::copy
