// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/outbox.h"

#include <cerrno>
#include <utility>

namespace blksnap::nbd {

namespace {

// Buffers of one write; the kernel copies their list each time.
constexpr std::size_t kPieces = 64;

void add(std::vector<iovec>& pieces, std::span<const std::byte> bytes,
         std::size_t& skip) {
  if (skip >= bytes.size()) {
    skip -= bytes.size();
    return;
  }
  bytes = bytes.subspan(std::exchange(skip, 0));
  pieces.push_back({const_cast<std::byte*>(bytes.data()), bytes.size()});
}

}  // namespace

void Outbox::push(Reply reply, std::size_t cost) {
  std::list<Entry> chunks;
  for (;;) {
    const std::unique_ptr<Reply> next = std::move(reply.next);
    chunks.push_back({std::move(reply), next ? 0 : cost, !next});
    if (!next) break;
    reply = std::move(*next);
  }
  queue_.splice(queue_.end(), chunks);
}

// What is in memory at the front, up to the first body that is in a file.
// True where more is to follow at once.
bool Outbox::gather() {
  pieces_.clear();
  std::size_t skip = sent_;
  for (const Entry& entry : queue_) {
    if (pieces_.size() + 2 > kPieces) return true;
    add(pieces_, entry.reply.head, skip);
    if (entry.reply.in_file()) return true;
    add(pieces_, entry.reply.body(), skip);
  }
  return false;
}

Transport::Outcome Outbox::send(Transport& transport, Settled& settled) {
  using State = Transport::State;
  while (!queue_.empty()) {
    const Reply& first = queue_.front().reply;
    Transport::Outcome sent;
    if (first.in_file() && sent_ >= first.head.size()) {
      const std::size_t done = sent_ - first.head.size();
      sent = transport.send_file(first.file.fd, first.file.offset + done,
                                 first.body_size - done);
      if (sent.state == State::kEnd) sent = {State::kBroken, 0, EIO};
    } else {
      const bool more = gather();
      sent = transport.write(pieces_, more);
    }
    if (sent.state != State::kDone) return sent;
    advance(sent.bytes, settled);
  }
  return {};
}

void Outbox::advance(std::size_t bytes, Settled& settled) {
  sent_ += bytes;
  settled.bytes += bytes;
  while (!queue_.empty()) {
    const Reply& first = queue_.front().reply;
    const std::size_t size = first.head.size() + first.body_size;
    if (sent_ < size) return;
    sent_ -= size;
    pop(settled);
  }
}

void Outbox::clear(Settled& settled) noexcept {
  while (!queue_.empty()) pop(settled);
  sent_ = 0;
}

void Outbox::pop(Settled& settled) noexcept {
  Entry& first = queue_.front();
  settled.replies += first.last;
  settled.cost += first.cost;
  pool_.put(std::move(first.reply.data));
  pool_.put(std::move(first.reply.descriptors));
  queue_.pop_front();
}

}  // namespace blksnap::nbd
