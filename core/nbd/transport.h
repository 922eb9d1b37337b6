// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace blksnap::nbd {

// The sending side of a connection, as the outbox sees it. No call waits.
class Transport {
 public:
  // The outcome of a call: `bytes` were moved (kDone, at least one); there was
  // no room to write any (kWait); the stream or the file has ended (kEnd); or
  // there was an error (kBroken, `error` is an errno).
  enum class State { kDone, kWait, kEnd, kBroken };
  struct Outcome {
    State state = State::kDone;
    std::size_t bytes = 0;
    int error = 0;
  };

  // The pieces in order, as many bytes of them as there is room for. `more`:
  // other bytes follow at once, so that the last packet may wait for them.
  virtual Outcome write(std::span<const iovec> pieces, bool more) = 0;
  // Can files be sent? Not where this process encrypts.
  virtual bool sends_files() const = 0;
  // `size` bytes of the file from `offset`, without a copy. kEnd where the
  // file ends before that. Only where sends_files().
  virtual Outcome send_file(int fd, std::uint64_t offset, std::size_t size) = 0;

 protected:
  ~Transport() = default;  // not owned through this interface
};

}  // namespace blksnap::nbd
