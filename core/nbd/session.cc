// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/session.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <exception>
#include <utility>

#include "base/log.h"
#include "nbd/block_status.h"
#include "nbd/handshake.h"
#include "nbd/request.h"

namespace blksnap::nbd {

namespace asio = boost::asio;

namespace {

constexpr auto kResult = asio::as_tuple(asio::use_awaitable);

// Read ahead of what is asked for: some hundred requests' headers.
constexpr std::size_t kInputSize = 4096;
// Replies that one write gathers at most; two buffers each, and Asio hands 64
// to the kernel at a time.
constexpr std::size_t kBatch = 16;

}  // namespace

Session::Session(Socket socket, const exports::Catalogue& catalogue,
                 asio::thread_pool& workers, const ServerOptions& options,
                 std::string peer, std::function<void()> ended)
    : socket_(std::move(socket)),
      catalogue_(catalogue),
      workers_(workers),
      options_(options),
      peer_(std::move(peer)),
      ended_(std::move(ended)),
      input_(kInputSize),
      buffers_(options.bytes_in_flight / 2),
      settled_(socket_.get_executor(), asio::steady_timer::time_point::max()) {
  batch_.reserve(kBatch);
  gather_.reserve(2 * kBatch);
}

void Session::start() {
  asio::co_spawn(
      socket_.get_executor(),
      [self = shared_from_this()] { return self->run(); }, asio::detached);
}

void Session::stop() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->stopping_ = true;
    if (!self->agreement_) return self->close();
    boost::system::error_code ignored;
    self->socket_.shutdown(Socket::shutdown_receive, ignored);
  });
}

void Session::abort() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->broken_ = true;
    self->close();
  });
}

asio::awaitable<void> Session::run() {
  const auto self = shared_from_this();
  logger().debug("{}: connected", peer_);
  try {
    if (co_await handshake()) co_await serve_requests();
  } catch (const std::exception& e) {
    logger().error("{}: {}", peer_, e.what());
    broken_ = true;
  }
  while (requests_in_flight_ != 0) co_await reply_sent();
  close();
  logger().debug("{}: disconnected", peer_);
  ended_();
}

asio::awaitable<bool> Session::handshake() {
  asio::steady_timer deadline(socket_.get_executor(),
                              options_.handshake_timeout);
  deadline.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    const auto self = weak.lock();
    if (ec || !self || self->agreement_) return;
    logger().warn("{}: closed: the handshake took too long", self->peer_);
    self->close();
  });

  Handshake machine(catalogue_);
  Bytes in, out = Handshake::greeting();
  for (;;) {
    if (!out.empty()) {
      const auto [ec, sent] =
          co_await asio::async_write(socket_, asio::buffer(out), kResult);
      // A client may close right after NBD_OPT_ABORT.
      if (ec) co_return false;
    }
    if (machine.state() != Handshake::State::kNegotiating) break;
    in.resize(machine.wanted());
    if (!co_await read_exactly(in)) co_return false;
    out.clear();
    // The catalogue may block, so its calls are a worker's.
    const auto feed = [&]() -> asio::awaitable<void> {
      machine.feed(in, out);
      co_return;
    };
    co_await asio::co_spawn(workers_, feed(), asio::use_awaitable);
  }
  if (machine.state() == Handshake::State::kClosed) {
    if (!machine.reason().empty())
      logger().warn("{}: closed: {}", peer_, printable(machine.reason()));
    co_return false;
  }
  agreement_ = std::make_shared<const Agreement>(machine.take_agreement());
  logger().info("{}: export \"{}\", {}, {} metadata contexts", peer_,
                agreement_->served->name(),
                name_of_headers(agreement_->headers),
                agreement_->contexts.size());
  co_return true;
}

asio::awaitable<void> Session::serve_requests() {
  std::array<std::byte, kMaxRequestSize> bytes;
  const auto header = std::span(bytes).first(request_size(agreement_->headers));
  while (!stopping_ && !broken_) {
    if (!co_await read_exactly(header)) co_return;
    const auto request = decode_request(header, agreement_->headers);
    if (!request) {
      // Nobody knows where the next request starts.
      logger().warn("{}: closed: wrong magic number before a request", peer_);
      co_return;
    }
    if (request->type == NBD_CMD_DISC) co_return;
    if (!co_await take(*request)) co_return;
  }
}

// Reads what belongs to a request, and has it done or refused.
asio::awaitable<bool> Session::take(Request request) {
  std::uint64_t payload = payload_length(request, agreement_->headers);
  if (payload > kMaxPayload) {
    logger().warn("{}: closed: {} with {} bytes of data", peer_,
                  name_of_command(request.type), payload);
    co_return false;
  }
  Result<void> allowed;
  if (request.type == NBD_CMD_BLOCK_STATUS && payload != 0) {
    std::array<std::byte, kMaxStatusPayload> bytes;
    const auto ids =
        std::span(bytes).first(std::min<std::size_t>(payload, bytes.size()));
    if (!co_await read_exactly(ids)) co_return false;
    payload -= ids.size();
    allowed = apply_status_payload(request, ids, *agreement_);
  }
  if (allowed) allowed = check_request(request, *agreement_);
  const std::size_t cost = allowed ? cost_of(request) : 0;
  while (requests_in_flight_ != 0 &&
         (requests_in_flight_ >= options_.requests_in_flight ||
          bytes_in_flight_ + cost > options_.bytes_in_flight))
    co_await reply_sent();

  if (!allowed) {
    if (!co_await skip(payload)) co_return false;
    logger().debug("{}: {}", peer_, allowed.error().message);
    ++requests_in_flight_;
    answer(error_reply(request, agreement_->headers, allowed.error()), 0);
    co_return true;
  }
  Buffer buffer;
  if (request.type == NBD_CMD_READ || payload != 0)
    buffer = buffers_.take(request.length);
  if (payload != 0 && !co_await read_exactly(buffer.span())) co_return false;
  ++requests_in_flight_;
  bytes_in_flight_ += cost;
  submit(request, std::move(buffer), cost);
  co_return true;
}

// Bytes of memory that a request may take until its reply has gone.
std::size_t Session::cost_of(const Request& request) const {
  std::size_t cost = 0;
  if (request.type == NBD_CMD_READ || request.type == NBD_CMD_WRITE) {
    cost = request.length;
  } else if (request.type == NBD_CMD_BLOCK_STATUS) {
    const std::size_t contexts = agreement_->contexts.size();
    const bool one = (request.flags & NBD_CMD_FLAG_REQ_ONE) != 0;
    // The finest extents are sectors.
    const std::size_t extents = std::min<std::size_t>(
        request.length / 512 + 1, max_extents(contexts, one));
    cost = contexts * extents *
           (sizeof(Extent) + sizeof(wire::ExtendedDescriptor));
  }
  return std::min(cost, options_.bytes_in_flight);
}

void Session::submit(const Request& request, Buffer buffer, std::size_t cost) {
  asio::post(workers_, [self = shared_from_this(), agreement = agreement_,
                        request, cost, buffer = std::move(buffer)]() mutable {
    Reply reply = execute(request, *agreement, std::move(buffer));
    Session& session = *self;
    asio::post(
        session.socket_.get_executor(),
        [self = std::move(self), cost, reply = std::move(reply)]() mutable {
          self->answer(std::move(reply), cost);
        });
  });
}

void Session::answer(Reply reply, std::size_t cost) {
  queue_.push_back({std::move(reply), cost});
  if (sending_) return;
  sending_ = true;
  asio::co_spawn(
      socket_.get_executor(),
      [self = shared_from_this()] { return self->send_queue(); },
      asio::detached);
}

asio::awaitable<void> Session::send_queue() {
  const auto self = shared_from_this();
  while (!queue_.empty()) {
    while (!queue_.empty() && batch_.size() < kBatch) {
      const Reply& reply = batch_.emplace_back(std::move(queue_.front())).reply;
      queue_.pop_front();
      gather_.push_back(asio::buffer(reply.head));
      if (const auto body = reply.body(); !body.empty())
        gather_.push_back(asio::buffer(body.data(), body.size()));
    }
    if (!broken_) {
      const auto [ec, sent] =
          co_await asio::async_write(socket_, std::span(gather_), kResult);
      if (ec) {
        logger().debug("{}: closed: {}", peer_, ec.message());
        broken_ = true;
        close();
      }
    }
    settle();
  }
  sending_ = false;
}

// The batch has been sent, or never will be.
void Session::settle() {
  for (Outgoing& sent : batch_) {
    --requests_in_flight_;
    bytes_in_flight_ -= sent.cost;
    buffers_.put(std::move(sent.reply.data));
  }
  batch_.clear();
  gather_.clear();
  settled_.cancel();
}

asio::awaitable<void> Session::reply_sent() {
  co_await settled_.async_wait(kResult);
}

asio::awaitable<bool> Session::read_exactly(std::span<std::byte> out) {
  while (!out.empty()) {
    if (const std::size_t ahead = input_end_ - input_begin_; ahead != 0) {
      const std::size_t n = std::min(ahead, out.size());
      std::memcpy(out.data(), input_.data() + input_begin_, n);
      input_begin_ += n;
      out = out.subspan(n);
      continue;
    }
    const bool large = out.size() >= input_.size();
    const auto into = large ? out : std::span<std::byte>(input_);
    const auto [ec, n] = co_await socket_.async_read_some(
        asio::buffer(into.data(), into.size()), kResult);
    if (ec) {
      if (ec != asio::error::eof)
        logger().debug("{}: closed: {}", peer_, ec.message());
      co_return false;
    }
    if (large) {
      out = out.subspan(n);
    } else {
      input_begin_ = 0;
      input_end_ = n;
    }
  }
  co_return true;
}

asio::awaitable<bool> Session::skip(std::size_t bytes) {
  std::vector<std::byte> waste(std::min<std::size_t>(bytes, 64 * 1024));
  while (bytes != 0) {
    const std::size_t n = std::min(bytes, waste.size());
    if (!co_await read_exactly(std::span(waste).first(n))) co_return false;
    bytes -= n;
  }
  co_return true;
}

void Session::close() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace blksnap::nbd
