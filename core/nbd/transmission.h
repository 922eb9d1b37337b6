// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "base/range.h"
#include "export/export.h"
#include "nbd/agreement.h"
#include "nbd/buffer.h"
#include "nbd/counters.h"
#include "nbd/outbox.h"
#include "nbd/reply.h"

namespace blksnap::nbd {

// Limits of one connection: requests that were read and whose replies have not
// been sent, and the memory that these may take. A single request may always go
// ahead.
struct FlightLimits {
  std::size_t requests;
  std::size_t bytes;
};

// The transmission phase of one connection, without its socket and its threads.
// It knows the cost of a request, whether there is room for it and whether a
// read can be answered at once, and it keeps the replies until they are sent.
// Session moves the bytes. Belongs to one thread.
class Transmission {
 public:
  // `agreement` and `tally` are not null.
  Transmission(std::shared_ptr<const Agreement> agreement, FlightLimits limits,
               std::shared_ptr<Tally> tally);

  const Agreement& agreement() const { return *agreement_; }
  const std::shared_ptr<const Agreement>& shared_agreement() const {
    return agreement_;
  }

  // Bytes of memory that a valid request may take until its reply is sent.
  std::size_t cost_of(const Request& request) const;
  // May a request of this cost begin now, or has it to wait for replies?
  bool has_room(std::size_t cost) const;
  // Memory for a request that a worker will execute: its data, as it is or to
  // come, and the extents of block status. Throw std::bad_alloc.
  Buffer take_buffer(const Request& request) {
    return buffers_.take(request.length);
  }
  std::vector<Extent> take_extents() { return buffers_.take_extents(); }
  // Frees the memory that waits for the next request.
  void free_idle_buffers() { buffers_.clear(); }

  // Answers a read of cached data; returns nothing if reading may block. Small
  // reads are copied; larger ones are sent from the page cache, if the
  // transport `sends_files`. Throws std::bad_alloc.
  std::optional<Reply> read_now(const Request& request, bool sends_files);

  // A worker has got a request of this cost, or has finished it.
  void worker_began(std::size_t cost);
  void worker_finished(std::size_t cost);
  // Requests whose replies are not sent yet: with a worker, or in the outbox.
  std::size_t in_flight() const { return requests_in_flight_; }

  // Puts a reply into the outbox. If it throws std::bad_alloc, the outbox and
  // the counts are as before.
  void send_later(Reply reply, std::size_t cost);
  bool has_replies() const { return !outbox_.empty(); }
  // Sends replies as far as that goes without waiting. kBroken also for lack of
  // memory. The bool: at least one reply has left.
  struct Sent {
    Transport::Outcome outcome;
    bool settled = false;
  };
  Sent send(Transport& transport);
  // Drops the replies in the outbox. True: there were some.
  bool drop_replies() noexcept;

 private:
  std::optional<Reply> send_from_cache(const Request& request);
  bool settle(const Outbox::Settled& settled) noexcept;

  const std::shared_ptr<const Agreement> agreement_;
  const FlightLimits limits_;
  const std::shared_ptr<Tally> tally_;

  // base:allocation of the export; may be null. `known_data_` is the range in
  // which the last look at it found data, so that a run of reads takes one
  // look. A stale range is harmless: data is sent as it is.
  const std::shared_ptr<const exports::Context> allocation_;
  ByteRange known_data_;

  std::size_t requests_in_flight_ = 0;
  std::size_t bytes_in_flight_ = 0;
  BufferPool buffers_;
  Outbox outbox_{buffers_};
};

}  // namespace blksnap::nbd
