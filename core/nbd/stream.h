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
#include "nbd/transport.h"

namespace blksnap::nbd {

// A connected stream socket. Belongs to one thread; one of its coroutines may
// read while another one writes. Writing does what can be done without waiting,
// so that whoever has several things to send waits once, or not at all. The
// thread has SIGPIPE blocked: sendfile(2) cannot be told not to raise it.
class Stream final : public Transport {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

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
  // See Transport.
  Outcome write(std::span<const iovec> pieces, bool more) override;
  bool sends_files() const override { return !tls_ || kernel_sends_; }
  Outcome send_file(int fd, std::uint64_t offset, std::size_t size) override;

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
