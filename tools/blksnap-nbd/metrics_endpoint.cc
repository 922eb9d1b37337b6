// SPDX-License-Identifier: LGPL-2.1-or-later
#include "metrics_endpoint.h"

#include <fcntl.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "base/log.h"
#include "metrics_http.h"
#include "nbd/peer.h"

namespace blksnap::server {

namespace asio = boost::asio;
using asio::generic::stream_protocol;

namespace {

constexpr auto kResult = asio::as_tuple(asio::use_awaitable);
// Scrapers come one at a time; more is somebody's mistake, or an attack.
constexpr int kMostClients = 16;
constexpr std::chrono::seconds kPatience{10};
constexpr std::chrono::milliseconds kAcceptPause{100};

void close(stream_protocol::socket& socket) {
  boost::system::error_code ignored;
  socket.close(ignored);
}

}  // namespace

Result<std::vector<nbd::ListeningSocket>> listen_for_metrics(
    const std::string& where) {
  constexpr std::string_view kUnix = "unix:";
  if (where.starts_with(kUnix)) {
    auto socket = nbd::listen_unix(where.substr(kUnix.size()));
    if (!socket) return socket.error();
    std::vector<nbd::ListeningSocket> sockets;
    sockets.push_back(std::move(*socket));
    return sockets;
  }
  const std::size_t colon = where.rfind(':');
  if (colon == where.npos || colon + 1 == where.size())
    return refuse(EINVAL,
                  "'" + where + "': want unix:PATH, ADDRESS:PORT or :PORT");
  std::string host = where.substr(0, colon);
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  if (brackets) host = host.substr(1, host.size() - 2);
  if (!brackets && host.find(':') != host.npos)
    return refuse(EINVAL, "'" + where +
                              "': an IPv6 address goes into brackets, as in "
                              "[::1]:PORT");
  return nbd::listen_tcp(host, where.substr(colon + 1));
}

class MetricsEndpoint::Impl {
 public:
  Impl(std::vector<nbd::ListeningSocket> sockets,
       std::function<std::string()> text)
      : sockets_(std::move(sockets)), text_(std::move(text)) {
    for (const nbd::ListeningSocket& socket : sockets_)
      asio::co_spawn(io_, accept_from(socket), asio::detached);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Impl() {
    io_.stop();
    thread_.join();
  }

 private:
  using Acceptor = asio::basic_socket_acceptor<stream_protocol>;
  using Socket = stream_protocol::socket;

  asio::awaitable<void> accept_from(const nbd::ListeningSocket& socket);
  asio::awaitable<void> serve(std::shared_ptr<Socket> socket);

  const std::vector<nbd::ListeningSocket> sockets_;
  const std::function<std::string()> text_;
  int clients_ = 0;
  asio::io_context io_{1};
  std::thread thread_;
};

asio::awaitable<void> MetricsEndpoint::Impl::accept_from(
    const nbd::ListeningSocket& socket) {
  const int fd = ::fcntl(socket.fd(), F_DUPFD_CLOEXEC, 0);
  Acceptor acceptor(io_);
  acceptor.assign(
      {nbd::socket_option(fd, SO_DOMAIN), nbd::socket_option(fd, SO_PROTOCOL)},
      fd);
  for (;;) {
    auto [error, accepted] = co_await acceptor.async_accept(kResult);
    if (error) {
      logger().warn("metrics: accept: {}", error.message());
      asio::steady_timer pause(io_, kAcceptPause);
      co_await pause.async_wait(kResult);
    } else if (clients_ == kMostClients) {
      logger().warn("metrics: {} clients at a time are the limit",
                    kMostClients);
    } else {
      asio::co_spawn(io_, serve(std::make_shared<Socket>(std::move(accepted))),
                     asio::detached);
    }
  }
}

asio::awaitable<void> MetricsEndpoint::Impl::serve(
    std::shared_ptr<Socket> socket) {
  ++clients_;
  try {
    MetricsHttp http(text_);
    std::array<char, 4096> bytes;
    asio::steady_timer deadline(io_);  // for a request and its response
    while (!http.over()) {
      deadline.expires_after(kPatience);
      // The handler may run when the coroutine has ended: it shares the socket.
      deadline.async_wait([socket](const auto& cancelled) {
        if (!cancelled) close(*socket);
      });
      auto response = http.respond();
      while (response && !*response) {
        const auto [bad, read] =
            co_await socket->async_read_some(asio::buffer(bytes), kResult);
        if (bad) break;
        http.receive({bytes.data(), read});
        response = http.respond();
      }
      if (!response || !*response) break;
      const auto [broken, written] = co_await asio::async_write(
          *socket, asio::buffer(**response), kResult);
      if (broken) break;
    }
  } catch (const std::exception& error) {
    logger().error("metrics: {}", error.what());
  }
  close(*socket);
  --clients_;
}

MetricsEndpoint::MetricsEndpoint(std::vector<nbd::ListeningSocket> sockets,
                                 std::function<std::string()> text)
    : impl_(std::make_unique<Impl>(std::move(sockets), std::move(text))) {}
MetricsEndpoint::~MetricsEndpoint() = default;

}  // namespace blksnap::server
