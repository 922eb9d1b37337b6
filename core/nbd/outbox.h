// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <list>
#include <vector>

#include "nbd/buffer.h"
#include "nbd/reply.h"
#include "nbd/transport.h"

namespace blksnap::nbd {

// Replies on their way to a client, first in, first out, each whole: many
// small ones in one write, bodies from where they lie. Belongs to one thread.
class Outbox {
 public:
  // `pool` gets the buffers of what was sent.
  explicit Outbox(BufferPool& pool) : pool_(pool) {}

  // `cost`: bytes in flight that sending it gives back. Where it throws
  // (std::bad_alloc), nothing was pushed.
  void push(Reply reply, std::size_t cost);
  bool empty() const { return queue_.empty(); }

  // What left the box since the last call.
  struct Settled {
    std::size_t replies = 0;
    std::size_t cost = 0;
    std::size_t bytes = 0;  // that were sent, also of replies still here
  };

  // Sends as much as goes without waiting: all of it (kDone), or not (kWait;
  // or kBroken, also where a file turns out to be shorter than was promised:
  // nobody can be told any more, the connection has to end).
  Transport::Outcome send(Transport& transport, Settled& settled);
  // Drops what is left.
  void clear(Settled& settled) noexcept;

 private:
  struct Entry {
    Reply reply;
    std::size_t cost = 0;
    bool last = true;  // chunk of its reply
  };

  bool gather();
  void advance(std::size_t bytes, Settled& settled);
  void pop(Settled& settled) noexcept;

  BufferPool& pool_;
  std::list<Entry> queue_;
  std::size_t sent_ = 0;  // bytes of the first reply that are gone
  std::vector<iovec> pieces_;
};

}  // namespace blksnap::nbd
