// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy/nbd_target.h"

#include <algorithm>
#include <cerrno>

namespace blksnap::copy {
namespace {

constexpr std::size_t kInFlight = 16;
constexpr std::uint64_t kLargestWrite = 1024 * 1024;
// Zeroes carry no data: what a request may say, in whole blocks of any server.
constexpr std::uint64_t kLargestZero = std::uint64_t{1} << 30;
constexpr std::chrono::milliseconds kForever{-1};

}  // namespace

Result<std::unique_ptr<NbdTarget>> NbdTarget::connect(Endpoint endpoint,
                                                      Options options) {
  std::unique_ptr<NbdTarget> target(new NbdTarget);
  target->name_ = endpoint.name;
  target->options_ = options;
  target->slots_.resize(kInFlight);
  target->handle_.reset(nbd_create());
  nbd_handle* h = target->handle_.get();
  if (!h) return nbd_failure("libnbd");
  // The URI is the user's own: TLS key files that it names may be read.
  if (nbd_set_uri_allow_local_file(h, true) == -1)
    return nbd_failure(endpoint.name);
  if (auto connected = copy::connect(h, endpoint); !connected)
    return connected.error();

  const std::int64_t size = nbd_get_size(h);
  const std::int64_t largest = nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM);
  const int read_only = nbd_is_read_only(h);
  const int can_zero = nbd_can_zero(h);
  const int can_flush = nbd_can_flush(h);
  if (size == -1 || largest == -1 || read_only == -1 || can_zero == -1 ||
      can_flush == -1)
    return nbd_failure(target->name_);
  if (read_only)
    return refuse(EROFS, target->name_ + ": the export is read-only");
  target->size_ = static_cast<std::uint64_t>(size);
  target->largest_ =
      largest ? std::min<std::uint64_t>(largest, kLargestWrite) : kLargestWrite;
  target->can_zero_ = can_zero != 0;
  target->can_flush_ = can_flush != 0;
  return target;
}

// Called within calls of libnbd, where it must not be called.
int NbdTarget::on_completion(void* user_data, int* error) {
  auto& slot = *static_cast<Slot*>(user_data);
  slot.error = *error;
  slot.busy = false;
  return 1;  // retire the command
}

Result<void> NbdTarget::check(const Slot& slot) const {
  if (slot.error == 0) return {};
  return fail(slot.error, "write " + name_ + " at " +
                              std::to_string(slot.range.offset) + "+" +
                              std::to_string(slot.range.length));
}

Result<NbdTarget::Slot*> NbdTarget::idle_slot() {
  for (;;) {
    for (Slot& slot : slots_) {
      if (slot.busy) continue;
      if (auto good = check(slot); !good) return good.error();
      return &slot;
    }
    if (auto served = serve({handle_.get()}, kForever, name_); !served)
      return served.error();
  }
}

Result<void> NbdTarget::drain() {
  for (Slot& slot : slots_) {
    while (slot.busy)
      if (auto served = serve({handle_.get()}, kForever, name_); !served)
        return served;
    if (auto good = check(slot); !good) return good;
  }
  return {};
}

// `data` is empty for zeroes.
Result<void> NbdTarget::put(ByteRange range, std::span<const std::byte> data) {
  auto found = idle_slot();
  if (!found) return found.error();
  Slot& slot = **found;
  slot.data.assign(data.begin(), data.end());
  slot.range = range;
  slot.busy = true;
  const nbd_completion_callback done{
      .callback = on_completion, .user_data = &slot, .free = nullptr};
  const std::int64_t started =
      data.empty()
          ? nbd_aio_zero(handle_.get(), range.length, range.offset, done, 0)
          : nbd_aio_pwrite(handle_.get(), slot.data.data(), slot.data.size(),
                           range.offset, done, 0);
  if (started == -1) {
    slot.busy = false;
    return nbd_failure(name_);
  }
  return {};
}

Result<void> NbdTarget::write(std::uint64_t offset,
                              std::span<const std::byte> data) {
  while (!data.empty()) {
    const auto piece =
        data.first(std::min<std::uint64_t>(data.size(), largest_));
    if (auto done = put({offset, piece.size()}, piece); !done) return done;
    offset += piece.size();
    data = data.subspan(piece.size());
  }
  return {};
}

Result<void> NbdTarget::zero(ByteRange range) {
  if (options_.blank) return {};
  const std::vector<std::byte> zeroes(
      can_zero_ ? 0 : std::min(range.length, largest_));
  while (!range.empty()) {
    const std::uint64_t piece =
        std::min(range.length, can_zero_ ? kLargestZero : largest_);
    const auto data = std::span<const std::byte>(zeroes).first(
        can_zero_ ? 0 : static_cast<std::size_t>(piece));
    if (auto done = put({range.offset, piece}, data); !done) return done;
    range = {range.offset + piece, range.length - piece};
  }
  return {};
}

Result<void> NbdTarget::sync() {
  if (auto drained = drain(); !drained) return drained;
  if (can_flush_ && nbd_flush(handle_.get(), 0) == -1)
    return nbd_failure("flush " + name_);
  return {};
}

Result<void> NbdTarget::read(std::uint64_t offset,
                             std::span<std::byte> buffer) {
  if (nbd_pread(handle_.get(), buffer.data(), buffer.size(), offset, 0) == -1)
    return nbd_failure("read " + name_);
  return {};
}

Result<void> NbdTarget::disconnect() {
  if (nbd_shutdown(handle_.get(), 0) == -1) return nbd_failure(name_);
  return {};
}

}  // namespace blksnap::copy
