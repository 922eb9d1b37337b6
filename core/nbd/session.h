// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "export/catalogue.h"
#include "nbd/counters.h"
#include "nbd/execute.h"
#include "nbd/server.h"
#include "nbd/stream.h"
#include "nbd/transmission.h"

namespace blksnap::nbd {

// One connection, from greeting to close.
//
// One coroutine reads: the handshake, then request after request. A read of
// what is in memory is answered on the spot. Any other valid request goes to a
// worker thread, which may block. Replies wait in an outbox, which is sent when
// there is nothing more to read; a second, short-lived coroutine goes on where
// the socket has no room. So requests are read and done while replies wait,
// replies go out in the order in which they are done, and each is whole. The
// reader stops while too much is in flight, and the socket's own flow control
// then stops the client.
//
// Threads: all members belong to the one thread that runs the socket's
// executor. Workers see the agreement, which is immutable, and what they are
// handed. Whoever has work pending holds a shared_ptr to the session; the last
// one destroys it.
class Session : public std::enable_shared_from_this<Session> {
 public:
  // `socket`'s executor is run by one thread. `peer` says in log lines who it
  // is. `ended` is called on that thread when no request is in flight any more
  // and the socket is closed. Catalogue, workers, options and counters outlive
  // the session.
  Session(Stream::Socket socket, const exports::Catalogue& catalogue,
          boost::asio::thread_pool& workers, const ServerOptions& options,
          Counters& counters, std::string peer, std::function<void()> ended);

  void start();

  // Reads no further request; answers those in flight, then closes. A
  // handshake is cut off. Any thread.
  void stop();

  // Closes the socket now; replies that are not sent yet are dropped. Any
  // thread.
  void abort();

 private:
  template <class T = void>
  using Awaitable = boost::asio::awaitable<T>;

  Awaitable<> run();
  Awaitable<bool> handshake();
  Awaitable<bool> start_tls();
  Awaitable<> serve_requests();
  Awaitable<bool> take(Request request);
  Awaitable<> send_rest();

  // False: end of stream or a socket error; nothing more can be read or sent.
  Awaitable<bool> read_exactly(std::span<std::byte> out);
  Awaitable<bool> write_all(const Bytes& bytes);
  Awaitable<bool> skip(std::size_t bytes);
  // Returns when a reply has been sent, or may have been.
  Awaitable<> reply_sent();

  void submit(const Request& request, Buffer buffer,
              std::vector<Extent> extents, std::size_t cost);
  struct Work;
  void answer(Work& work) noexcept;
  void free_buffers_when_idle();
  void flush();
  bool send_some();
  void close();
  // Ends it now, where something was thrown: mostly for want of memory, which
  // is no reason to end the other sessions as well.
  void break_off(const char* why) noexcept;

  // Why it ended: the first reason is the one that counts. kFault: somebody
  // should look into that.
  enum class End { kInOrder, kFault };
  void end_with(std::string_view why, End end = End::kInOrder) noexcept;
  void log_end() const noexcept;

  Stream stream_;
  const exports::Catalogue& catalogue_;
  boost::asio::thread_pool& workers_;
  const ServerOptions& options_;
  Counters& counters_;
  const std::string peer_;
  const std::function<void()> ended_;

  const std::chrono::steady_clock::time_point began_ =
      std::chrono::steady_clock::now();
  const std::shared_ptr<Tally> tally_ = std::make_shared<Tally>();
  std::string why_ended_;
  End end_ = End::kInOrder;

  std::optional<Transmission> transmission_;  // none while negotiating
  bool stopping_ = false;
  bool broken_ = false;  // nothing can be sent any more

  std::vector<std::byte>
      input_;  // bytes read ahead: [input_begin_, input_end_)
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;

  bool sending_ = false;  // a send_rest() waits for room
  // Runs while there are buffers in the pool.
  boost::asio::steady_timer idle_;
  bool idle_watched_ = false;
  // Never expires: cancelling it wakes the reader, the only one to wait.
  boost::asio::steady_timer settled_;
};

}  // namespace blksnap::nbd
