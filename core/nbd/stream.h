// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "nbd/tls.h"

namespace blksnap::nbd {

// A connected stream socket. Belongs to one thread; one of its coroutines may
// read while another one writes. Writing does what can be done without waiting,
// so that whoever has several things to send waits once, or not at all. The
// thread has SIGPIPE blocked: sendfile(2) cannot be told not to raise it.
class Stream {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  // What came of a call: `bytes` were moved (kDone, at least one); there was no
  // room to write any (kWait); the other end is there (kEnd); or there was an
  // error (kBroken, `error` is an errno).
  enum class State { kDone, kWait, kEnd, kBroken };
  struct Outcome {
    State state = State::kDone;
    std::size_t bytes = 0;
    int error = 0;
  };

  explicit Stream(Socket socket);

  // From here on everything is encrypted. The error says why the handshake
  // failed, or whom it kept out.
  boost::asio::awaitable<Result<void>> start_tls(
      std::shared_ptr<const TlsCredentials> credentials);
  // Null before start_tls().
  const Tls* tls() const { return tls_.get(); }

  // Waits for bytes, and takes as many as there are. `into` is not empty. Never
  // kWait.
  boost::asio::awaitable<Outcome> read(std::span<std::byte> into);
  // The pieces in order, as many bytes of them as there is room for. `more`:
  // other bytes follow at once, so that the last packet may wait for them.
  Outcome write(std::span<const iovec> pieces, bool more);
  // Can files be sent? Not where this process encrypts.
  bool sends_files() const { return !tls_ || kernel_sends_; }
  // `size` bytes of the file from `offset`, without a copy. kEnd where the
  // file ends before that. Only where sends_files().
  Outcome send_file(int fd, std::uint64_t offset, std::size_t size);

  // Until a call that said kWait is worth repeating, or the socket is closed.
  boost::asio::awaitable<void> writable();

  boost::asio::any_io_executor executor() { return socket_.get_executor(); }
  // Nothing more is read; what is written still goes out.
  void shutdown_read();
  void close();

 private:
  Result<void> handshake_result(Tls::State state);
  Outcome write_encrypted(std::span<const iovec> pieces);

  Socket socket_;
  int fd_;  // -1: closed; nothing of TLS may touch the number then
  std::unique_ptr<Tls> tls_;
  bool kernel_sends_ = false;
  std::vector<std::byte> record_;  // of small pieces, to be encrypted together
};

}  // namespace blksnap::nbd
