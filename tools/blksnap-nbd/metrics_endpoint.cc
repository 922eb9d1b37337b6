// SPDX-License-Identifier: LGPL-2.1-or-later
#include "metrics_endpoint.h"

#include <fcntl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "base/log.h"
#include "nbd/peer.h"

namespace blksnap::server {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::generic::stream_protocol;

namespace {

constexpr auto kResult = asio::as_tuple(asio::use_awaitable);
// Scrapers come one at a time; more is somebody's mistake, or an attack.
constexpr int kMostClients = 16;
constexpr std::chrono::seconds kPatience{10};
constexpr std::uint32_t kMostHeader = 8 * 1024;
constexpr std::chrono::milliseconds kAcceptPause{100};

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
  using Stream = beast::basic_stream<stream_protocol>;
  using Response = http::response<http::string_body>;

  asio::awaitable<void> accept_from(const nbd::ListeningSocket& socket);
  asio::awaitable<void> serve(Stream stream);
  Response answer(const http::request<http::empty_body>& request) const;

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
      asio::co_spawn(io_, serve(Stream(std::move(accepted))), asio::detached);
    }
  }
}

asio::awaitable<void> MetricsEndpoint::Impl::serve(Stream stream) {
  ++clients_;
  try {
    beast::flat_buffer buffer;
    for (;;) {
      http::request_parser<http::empty_body> parser;
      parser.header_limit(kMostHeader);
      stream.expires_after(kPatience);
      const auto [bad, read] =
          co_await http::async_read(stream, buffer, parser, kResult);
      if (bad) break;
      const Response response = answer(parser.get());
      const auto [broken, written] =
          co_await http::async_write(stream, response, kResult);
      if (broken || response.need_eof()) break;
    }
  } catch (const std::exception& error) {
    logger().error("metrics: {}", error.what());
  }
  --clients_;
}

MetricsEndpoint::Impl::Response MetricsEndpoint::Impl::answer(
    const http::request<http::empty_body>& request) const {
  Response response(http::status::ok, request.version());
  response.keep_alive(request.keep_alive());
  response.set(http::field::content_type, "text/plain; charset=utf-8");
  if (request.target() != "/metrics") {
    response.result(http::status::not_found);
    response.body() = "There is /metrics, and nothing else.\n";
  } else if (request.method() != http::verb::get) {
    response.result(http::status::method_not_allowed);
    response.set(http::field::allow, "GET");
  } else {
    response.set(http::field::content_type,
                 "text/plain; version=0.0.4; charset=utf-8");
    response.body() = text_();
  }
  response.prepare_payload();
  return response;
}

MetricsEndpoint::MetricsEndpoint(std::vector<nbd::ListeningSocket> sockets,
                                 std::function<std::string()> text)
    : impl_(std::make_unique<Impl>(std::move(sockets), std::move(text))) {}
MetricsEndpoint::~MetricsEndpoint() = default;

}  // namespace blksnap::server
