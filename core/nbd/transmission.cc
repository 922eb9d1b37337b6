// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/transmission.h"

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "nbd/block_status.h"

namespace blksnap::nbd {

namespace {

// Reads of cached data up to this length are copied. Longer ones are sent from
// the page cache, whose bookkeeping costs as much as copying 32 KiB.
constexpr std::size_t kCopied = 32 * 1024;

}  // namespace

Transmission::Transmission(std::shared_ptr<const Agreement> agreement,
                           FlightLimits limits, std::shared_ptr<Tally> tally)
    : agreement_(std::move(agreement)),
      limits_(limits),
      tally_(std::move(tally)),
      allocation_(agreement_->served->find_context("base:allocation")),
      buffers_(limits.bytes / 2) {}

std::size_t Transmission::cost_of(const Request& request) const {
  std::size_t cost = 0;
  if (request.type == NBD_CMD_READ || request.type == NBD_CMD_WRITE) {
    cost = request.length;
  } else if (request.type == NBD_CMD_BLOCK_STATUS) {
    const std::size_t contexts = agreement_->contexts.size();
    const bool one = (request.flags & NBD_CMD_FLAG_REQ_ONE) != 0;
    // The finest extents are sectors.
    const std::size_t extents = std::min<std::size_t>(
        request.length / 512 + 1, max_extents(contexts, one));
    cost = contexts * extents *
           (sizeof(Extent) + sizeof(wire::ExtendedDescriptor));
  }
  return std::min(cost, limits_.bytes);
}

bool Transmission::has_room(std::size_t cost) const {
  return requests_in_flight_ == 0 || (requests_in_flight_ < limits_.requests &&
                                      bytes_in_flight_ + cost <= limits_.bytes);
}

std::optional<Reply> Transmission::read_now(const Request& request,
                                            bool sends_files) {
  if (request.length > kCopied)
    return sends_files ? send_from_cache(request) : std::nullopt;
  Buffer buffer = buffers_.take(request.length);
  if (!agreement_->served->read_now(request.offset, buffer.span())) {
    buffers_.put(std::move(buffer));
    return std::nullopt;
  }
  return read_reply(request, agreement_->headers, std::move(buffer));
}

std::optional<Reply> Transmission::send_from_cache(const Request& request) {
  const ByteRange range{request.offset, request.length};
  const auto place = agreement_->served->cached(range);
  if (place.fd < 0) return std::nullopt;
  // The data is not looked at: only the file system knows its holes.
  const bool chunks = agreement_->headers != Headers::kSimple &&
                      !(request.flags & NBD_CMD_FLAG_DF);
  const bool known =
      range.offset >= known_data_.offset && range.end() <= known_data_.end();
  if (chunks && !known && allocation_) {
    const std::uint64_t size = agreement_->served->size();
    ExtentBuilder run({range.offset, size - range.offset}, 1);
    if (!allocation_->extents(run) || run.extents().empty())
      return std::nullopt;  // a worker's read() reports the error
    if (!(run.extents()[0].flags & exports::kStateZero)) {
      known_data_ = {range.offset, run.covered_end() - range.offset};
    } else if (run.covered_end() >= range.end()) {
      return hole_reply(request, agreement_->headers);
    }
  }
  return read_reply(request, agreement_->headers, place);
}

void Transmission::worker_began(std::size_t cost) {
  ++requests_in_flight_;
  bytes_in_flight_ += cost;
}

void Transmission::worker_finished(std::size_t cost) {
  --requests_in_flight_;
  bytes_in_flight_ -= cost;
}

void Transmission::send_later(Reply reply, std::size_t cost) {
  if (reply.error) tally_->error();
  outbox_.push(std::move(reply), cost);
  ++requests_in_flight_;
  bytes_in_flight_ += cost;
}

Transmission::Sent Transmission::send(Transport& transport) {
  Sent sent;
  Outbox::Settled settled;
  // Replies that left before send() threw are counted.
  try {
    sent.outcome = outbox_.send(transport, settled);
  } catch (const std::bad_alloc&) {
    sent.outcome = {Transport::State::kBroken, 0, ENOMEM};
  }
  sent.settled = settle(settled);
  return sent;
}

bool Transmission::drop_replies() noexcept {
  Outbox::Settled settled;
  outbox_.clear(settled);
  return settle(settled);
}

bool Transmission::settle(const Outbox::Settled& settled) noexcept {
  tally_->sent(settled.bytes);
  requests_in_flight_ -= settled.replies;
  bytes_in_flight_ -= settled.cost;
  return settled.replies != 0;
}

}  // namespace blksnap::nbd
