// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "nbd/insist.h"
#include "nbd/peer.h"
#include "nbd/session.h"

namespace blksnap::nbd {

namespace asio = boost::asio;
using asio::generic::stream_protocol;

namespace {

constexpr auto kResult = asio::as_tuple(asio::use_awaitable);
// After accept() failed for want of descriptors or memory.
constexpr std::chrono::milliseconds kAcceptPause{100};

stream_protocol protocol_of(int fd) {
  return {socket_option(fd, SO_DOMAIN), socket_option(fd, SO_PROTOCOL)};
}

// "TCP sockets SHOULD disable Nagle's algorithm" (spec, "Protocol phases"),
// and a peer that vanished must not hold its connection for ever.
void tune(int fd) {
  const int domain = socket_option(fd, SO_DOMAIN);
  if (domain != AF_INET && domain != AF_INET6) return;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

// In a handler: there may be no memory for words either.
void complain(const char* where, const std::exception& error) noexcept try {
  logger().error("{}: {}", where, error.what());
} catch (const std::exception&) {
}

}  // namespace

class Server::Impl {
 public:
  Impl(std::shared_ptr<const exports::Catalogue> catalogue,
       ServerOptions options)
      : catalogue_(std::move(catalogue)),
        options_(std::move(options)),
        workers_(options_.workers),
        slot_free_(accepting_.io, asio::steady_timer::time_point::max()) {
    const unsigned threads =
        options_.threads
            ? options_.threads
            : std::clamp(std::thread::hardware_concurrency(), 2u, 16u);
    for (unsigned i = 0; i < threads; ++i)
      loops_.push_back(std::make_unique<Loop>());
  }

  ~Impl() { stop(); }

  void add_listener(ListeningSocket listener);
  Result<void> serve(UniqueFd connected, std::string peer,
                     std::function<void()> ended);
  void start();
  void stop();
  Counters::Totals totals() const { return counters_.totals(); }

 private:
  using Acceptor = asio::basic_socket_acceptor<stream_protocol>;
  // Runs on one thread: what belongs to it needs no lock.
  struct Loop {
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> keep_running{
        io.get_executor()};
    std::thread thread;
    void start() {
      thread = std::thread([this] {
        // For this thread alone: see Stream.
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
        for (;;) {
          try {
            io.run();
            return;
          } catch (const std::exception& bug) {
            complain("unexpected", bug);
          }
        }
      });
    }
    void stop() {
      keep_running.reset();
      io.stop();
      if (thread.joinable()) thread.join();
    }
  };
  struct Listening {
    Listening(ListeningSocket from, Acceptor accept)
        : socket(std::move(from)), acceptor(std::move(accept)) {}
    ListeningSocket socket;
    Acceptor acceptor;  // has a descriptor of its own
  };

  asio::awaitable<void> accept_from(std::shared_ptr<Listening> listening);
  asio::awaitable<bool> accept_one(Listening& listening);
  Result<void> start_session(UniqueFd connected, const std::string& peer,
                             std::function<void()> ended = {});
  Loop& next_loop();
  void session_ended(std::uint64_t id);
  std::vector<std::shared_ptr<Session>> sessions();
  bool wait_for_sessions();

  const std::shared_ptr<const exports::Catalogue> catalogue_;
  const ServerOptions options_;
  Loop accepting_;
  std::vector<std::unique_ptr<Loop>> loops_;  // of sessions
  std::atomic<std::size_t> next_loop_ = 0;
  Counters counters_;
  asio::thread_pool workers_;  // destroyed before the loops, which they post to

  // Belong to the loop accepting_.
  std::vector<std::shared_ptr<Listening>> listeners_;
  asio::steady_timer slot_free_;  // never expires; cancelled to wake

  std::mutex mutex_;  // guards what follows; nothing is called under it
  std::condition_variable all_ended_;
  bool stopping_ = false;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, std::weak_ptr<Session>> sessions_;
};

void Server::Impl::add_listener(ListeningSocket listener) {
  const int fd = ::fcntl(listener.fd(), F_DUPFD_CLOEXEC, 0);
  Acceptor acceptor(accepting_.io);
  acceptor.assign(protocol_of(fd), fd);
  auto listening =
      std::make_shared<Listening>(std::move(listener), std::move(acceptor));
  asio::post(accepting_.io, [this, listening] {
    listeners_.push_back(listening);
    asio::co_spawn(accepting_.io, accept_from(listening), asio::detached);
  });
}

asio::awaitable<void> Server::Impl::accept_from(
    std::shared_ptr<Listening> listening) {
  while (listening->acceptor.is_open()) {
    bool accepted = false;
    try {
      accepted = co_await accept_one(*listening);
    } catch (const std::exception& error) {
      complain("accept", error);
    }
    if (accepted) continue;
    // Not at once again: descriptors or memory may be back then.
    try {
      asio::steady_timer pause(accepting_.io, kAcceptPause);
      co_await pause.async_wait(kResult);
    } catch (const std::exception&) {
      std::this_thread::sleep_for(kAcceptPause);
    }
  }
}

// False: there was nothing that could be accepted.
asio::awaitable<bool> Server::Impl::accept_one(Listening& listening) {
  Acceptor& acceptor = listening.acceptor;
  auto [ec, socket] = co_await acceptor.async_accept(kResult);
  if (ec == asio::error::operation_aborted) co_return true;
  if (ec) {
    logger().warn("accept on {}: {}", listening.socket.uri(), ec.message());
    co_return false;
  }
  UniqueFd connected(socket.release());
  const Peer peer = peer_of(connected.get());
  if (!options_.allow.admits(peer)) {
    logger().warn("{}: closed: not on the allow list", peer.name);
    counters_.refused();
    co_return true;
  }
  while (acceptor.is_open() && sessions().size() >= options_.max_connections) {
    logger().warn("a client waits: {} connections are the limit",
                  options_.max_connections);
    co_await slot_free_.async_wait(kResult);
  }
  tune(connected.get());
  if (auto started = start_session(std::move(connected), peer.name); !started)
    logger().warn("{}", started.error().message);
  co_return true;
}

Result<void> Server::Impl::serve(UniqueFd connected, std::string peer,
                                 std::function<void()> ended) {
  if (socket_option(connected.get(), SO_TYPE) != SOCK_STREAM)
    return refuse(EINVAL, peer + ": not a stream socket");
  if (!options_.allow.admits(peer_of(connected.get()))) {
    counters_.refused();
    return refuse(EACCES, peer + ": not on the allow list");
  }
  tune(connected.get());
  return start_session(std::move(connected), std::move(peer), std::move(ended));
}

Server::Impl::Loop& Server::Impl::next_loop() {
  return *loops_[next_loop_++ % loops_.size()];
}

Result<void> Server::Impl::start_session(UniqueFd connected,
                                         const std::string& peer,
                                         std::function<void()> ended) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return refuse(ESHUTDOWN, peer + ": the server is stopping");
  Stream::Socket socket(next_loop().io);
  boost::system::error_code ec;
  socket.assign(protocol_of(connected.get()), connected.get(), ec);
  if (ec) return refuse(ec.value(), peer + ": " + ec.message());
  connected.release();
  const std::uint64_t id = ++last_id_;
  const auto session = std::make_shared<Session>(
      std::move(socket), *catalogue_, workers_, options_, counters_,
      "client " + std::to_string(id) + " (" + peer + ")",
      [this, id, ended = std::move(ended)] {
        session_ended(id);
        if (ended) ended();
      });
  sessions_.emplace(id, session);
  counters_.accepted();
  try {
    session->start();  // posts
  } catch (const std::exception&) {
    sessions_.erase(id);
    throw;
  }
  return {};
}

void Server::Impl::session_ended(std::uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    sessions_.erase(id);
    if (sessions_.empty()) all_ended_.notify_all();
  }
  // A client may wait for it, so this has to succeed.
  insist([&] { asio::post(accepting_.io, [this] { slot_free_.cancel(); }); });
}

std::vector<std::shared_ptr<Session>> Server::Impl::sessions() {
  std::vector<std::shared_ptr<Session>> result;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, weak] : sessions_)
    if (auto session = weak.lock()) result.push_back(std::move(session));
  return result;
}

void Server::Impl::start() {
  for (const auto& loop : loops_) loop->start();
  accepting_.start();
}

bool Server::Impl::wait_for_sessions() {
  std::unique_lock lock(mutex_);
  return all_ended_.wait_for(lock, options_.stop_timeout,
                             [this] { return sessions_.empty(); });
}

void Server::Impl::stop() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  if (accepting_.thread.joinable()) {
    asio::post(accepting_.io, [this] {
      for (const auto& listening : listeners_) listening->acceptor.close();
      listeners_.clear();
      slot_free_.cancel();
    });
    for (const auto& session : sessions()) session->stop();
    if (!wait_for_sessions()) {
      logger().warn("some clients do not take their replies: cut off");
      workers_.stop();  // drops requests that no worker has begun
      for (const auto& session : sessions()) session->abort();
    }
  }
  // Workers post to the loops, so they end first.
  workers_.join();
  accepting_.stop();
  for (const auto& loop : loops_) loop->stop();
}

Server::Server(std::shared_ptr<const exports::Catalogue> catalogue,
               ServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(catalogue), std::move(options))) {}
Server::~Server() = default;

void Server::add_listener(ListeningSocket listener) {
  impl_->add_listener(std::move(listener));
}
Result<void> Server::serve(UniqueFd connected, std::string peer,
                           std::function<void()> ended) {
  return impl_->serve(std::move(connected), std::move(peer), std::move(ended));
}
void Server::start() {
  impl_->start();
}
void Server::stop() {
  impl_->stop();
}
Counters::Totals Server::totals() const {
  return impl_->totals();
}

}  // namespace blksnap::nbd
