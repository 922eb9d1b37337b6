// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/session.h"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/printable.h"
#include "nbd/block_status.h"
#include "nbd/handshake.h"
#include "nbd/insist.h"
#include "nbd/request.h"

namespace blksnap::nbd {

namespace asio = boost::asio;

namespace {

// Read ahead of what is asked for: some hundred requests' headers.
constexpr std::size_t kInputSize = 4096;
// Requests after which other connections of the thread have their turn.
constexpr unsigned kTurn = 64;
// Bytes of contexts' names in the log: those of some backup tools fit, those
// of a client that selects all there are need not.
// Bytes of a client's text in the log.
constexpr std::size_t kLoggedText = 80;
constexpr std::size_t kLoggedContexts = 400;
// A connection without a request for so long, or twice as long, keeps no
// buffers.
constexpr std::chrono::seconds kIdle{5};

}  // namespace

Session::Session(Stream::Socket socket, const exports::Catalogue& catalogue,
                 asio::thread_pool& workers, const ServerOptions& options,
                 Counters& counters, std::string peer,
                 std::function<void()> ended)
    : stream_(std::move(socket)),
      catalogue_(catalogue),
      workers_(workers),
      options_(options),
      counters_(counters),
      peer_(std::move(peer)),
      ended_(std::move(ended)),
      input_(kInputSize),
      idle_(stream_.executor()),
      settled_(stream_.executor(), asio::steady_timer::time_point::max()) {}

void Session::start() {
  asio::co_spawn(
      stream_.executor(), [self = shared_from_this()] { return self->run(); },
      asio::detached);
}

void Session::stop() {
  asio::post(stream_.executor(), [self = shared_from_this()] {
    self->stopping_ = true;
    self->end_with("the server is stopping");
    if (!self->transmission_) return self->close();
    self->stream_.shutdown_read();
  });
}

void Session::abort() {
  asio::post(stream_.executor(), [self = shared_from_this()] {
    self->broken_ = true;
    self->end_with("the server is stopping, and replies were not taken");
    self->close();
  });
}

asio::awaitable<void> Session::run() {
  const auto self = shared_from_this();
  try {
    logger().debug("{}: connected", peer_);
    if (co_await handshake()) co_await serve_requests();
  } catch (const std::exception& e) {
    break_off(e.what());
  }
  // Workers come back to this session, whatever happens.
  while (transmission_ && transmission_->in_flight() != 0) {
    try {
      co_await reply_sent();
    } catch (const std::exception& e) {
      break_off(e.what());
      std::this_thread::sleep_for(kMemoryPause);
    }
  }
  close();
  counters_.left(tally_);
  if (!transmission_ && end_ == End::kFault) counters_.failed_handshake();
  log_end();
  ended_();
}

asio::awaitable<bool> Session::handshake() {
  asio::steady_timer deadline(stream_.executor(), options_.handshake_timeout);
  deadline.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    const auto self = weak.lock();
    if (ec || !self || self->transmission_) return;
    self->end_with("the handshake took too long", End::kFault);
    self->close();
  });

  Handshake machine(catalogue_, options_.tls ? Handshake::Security::kTls
                                             : Handshake::Security::kNone);
  Bytes in, out = Handshake::greeting();
  for (;;) {
    // A client may close right after NBD_OPT_ABORT.
    if (!co_await write_all(out)) co_return false;
    if (machine.state() == Handshake::State::kStartTls) {
      if (!co_await start_tls()) co_return false;
      machine.tls_started();
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
    if (machine.reason().empty()) {
      end_with("the client ended the handshake");
    } else {
      end_with(printable(machine.reason(), kLoggedText), End::kFault);
    }
    co_return false;
  }
  transmission_.emplace(
      std::make_shared<const Agreement>(machine.take_agreement()),
      FlightLimits{options_.requests_in_flight, options_.bytes_in_flight},
      tally_);
  const Agreement& agreement = transmission_->agreement();
  logger().debug("{}: export \"{}\", {}, {} metadata contexts", peer_,
                 agreement.served->name(), name_of_headers(agreement.headers),
                 agreement.contexts.size());
  counters_.entered(agreement.served->name(), tally_);
  co_return true;
}

asio::awaitable<bool> Session::start_tls() {
  // Whoever sends on without waiting for the answer may be somebody else, who
  // puts words into an encrypted client's mouth.
  if (input_begin_ != input_end_) {
    end_with("data between NBD_OPT_STARTTLS and TLS", End::kFault);
    co_return false;
  }
  const auto started = co_await stream_.start_tls(options_.tls);
  if (!started) {
    end_with(printable(started.error().message, kLoggedText), End::kFault);
    co_return false;
  }
  logger().debug("{}: {}", peer_,
                 printable(stream_.tls()->peer(), kLoggedText));
  co_return true;
}

asio::awaitable<void> Session::serve_requests() {
  const Headers headers = transmission_->agreement().headers;
  std::array<std::byte, kMaxRequestSize> bytes;
  const auto header = std::span(bytes).first(request_size(headers));
  for (unsigned done = 1; !stopping_ && !broken_; ++done) {
    // Whoever sends faster than we serve may not keep the thread to himself.
    if (done % kTurn == 0) {
      flush();
      co_await asio::post(stream_.executor(), asio::use_awaitable);
    }
    if (!co_await read_exactly(header)) co_return;
    const auto request = decode_request(header, headers);
    if (!request) {
      // Nobody knows where the next request starts.
      end_with("wrong magic number before a request", End::kFault);
      co_return;
    }
    tally_->request(request->type);
    if (request->type == NBD_CMD_DISC) {
      end_with("the client disconnected");
      co_return;
    }
    if (!co_await take(*request)) co_return;
  }
}

// Reads what belongs to a request, and has it done or refused.
asio::awaitable<bool> Session::take(Request request) {
  const Agreement& agreement = transmission_->agreement();
  std::uint64_t payload = payload_length(request, agreement.headers);
  if (payload > kMaxPayload) {
    end_with(std::string(name_of_command(request.type)) + " with " +
                 std::to_string(payload) + " bytes of data",
             End::kFault);
    co_return false;
  }
  Result<void> allowed;
  if (request.type == NBD_CMD_BLOCK_STATUS && payload != 0) {
    std::array<std::byte, kMaxStatusPayload> bytes;
    const auto ids =
        std::span(bytes).first(std::min<std::size_t>(payload, bytes.size()));
    if (!co_await read_exactly(ids)) co_return false;
    payload -= ids.size();
    allowed = apply_status_payload(request, ids, agreement);
  }
  if (allowed) allowed = check_request(request, agreement);
  const std::size_t cost = allowed ? transmission_->cost_of(request) : 0;
  while (!transmission_->has_room(cost)) co_await reply_sent();

  if (!allowed) {
    if (!co_await skip(payload)) co_return false;
    logger().debug("{}: {}", peer_, allowed.error().message);
    transmission_->send_later(
        error_reply(request, agreement.headers, allowed.error()), 0);
    co_return true;
  }
  if (request.type == NBD_CMD_READ) {
    if (auto reply = transmission_->read_now(request, stream_.sends_files())) {
      transmission_->send_later(std::move(*reply), cost);
      co_return true;
    }
  }
  Buffer buffer;
  if (request.type == NBD_CMD_READ || payload != 0)
    buffer = transmission_->take_buffer(request);
  std::vector<Extent> extents;
  if (request.type == NBD_CMD_BLOCK_STATUS)
    extents = transmission_->take_extents();
  if (payload != 0 && !co_await read_exactly(buffer.span())) co_return false;
  submit(request, std::move(buffer), std::move(extents), cost);
  co_return true;
}

// A request on its way to a worker and back.
struct Session::Work {
  std::shared_ptr<Session> session;
  std::shared_ptr<const Agreement> agreement;
  Request request;
  std::size_t cost;
  Buffer buffer;
  std::vector<Extent> extents;
  Reply reply;
};

void Session::submit(const Request& request, Buffer buffer,
                     std::vector<Extent> extents, std::size_t cost) {
  auto work = std::make_shared<Work>(Work{shared_from_this(),
                                          transmission_->shared_agreement(),
                                          request,
                                          cost,
                                          std::move(buffer),
                                          std::move(extents),
                                          {}});
  asio::post(workers_, [work]() noexcept {
    work->reply = execute(work->request, *work->agreement,
                          std::move(work->buffer), std::move(work->extents));
    // The session waits for it.
    insist([&] {
      asio::post(work->session->stream_.executor(), [work]() noexcept {
        // To be destroyed on this thread, if nobody else has it.
        const auto session = std::move(work->session);
        session->answer(*work);
      });
    });
  });
  transmission_->worker_began(cost);
}

void Session::answer(Work& work) noexcept {
  transmission_->worker_finished(work.cost);
  try {
    if (work.reply.head.empty()) throw std::bad_alloc();
    transmission_->send_later(std::move(work.reply), work.cost);
    flush();
    free_buffers_when_idle();
  } catch (const std::exception& e) {
    break_off(e.what());
  }
  settled_.cancel();
}

// A hypervisor may be connected for months, and read little.
void Session::free_buffers_when_idle() {
  if (idle_watched_) return;
  idle_.expires_after(kIdle);
  idle_.async_wait(
      [weak = weak_from_this(),
       before = tally_->counts().all_requests()](boost::system::error_code ec) {
        const auto self = weak.lock();
        if (ec || !self) return;
        self->idle_watched_ = false;
        if (self->tally_->counts().all_requests() == before)
          return self->transmission_->free_idle_buffers();
        try {
          self->free_buffers_when_idle();
        } catch (const std::bad_alloc&) {  // with the next answer, then
        }
      });
  idle_watched_ = true;
}

// Sends what waits, as far as it goes, and sees to it that the rest follows.
void Session::flush() {
  if (!transmission_ || !transmission_->has_replies()) return;
  if ((sending_ && !broken_) || send_some()) return;
  asio::co_spawn(
      stream_.executor(),
      [self = shared_from_this()] { return self->send_rest(); },
      asio::detached);
  sending_ = true;
}

asio::awaitable<void> Session::send_rest() {
  const auto self = shared_from_this();
  try {
    do co_await stream_.writable();
    while (!send_some());
  } catch (const std::exception& e) {
    break_off(e.what());
  }
  sending_ = false;
}

// True: nothing is left to be sent.
bool Session::send_some() {
  if (!broken_) {
    const auto sent = transmission_->send(stream_);
    if (sent.settled) settled_.cancel();
    if (sent.outcome.state == Stream::State::kBroken) {
      end_with(std::strerror(sent.outcome.error));
      broken_ = true;
      close();
    }
  }
  if (broken_ && transmission_->drop_replies()) settled_.cancel();
  return !transmission_->has_replies();
}

asio::awaitable<void> Session::reply_sent() {
  const std::size_t before = transmission_->in_flight();
  flush();
  if (transmission_->in_flight() == before)
    co_await settled_.async_wait(asio::as_tuple(asio::use_awaitable));
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
    flush();
    const auto got = co_await stream_.read(large ? out : std::span(input_));
    if (got.state != Stream::State::kDone) {
      end_with(got.state == Stream::State::kEnd
                   ? "the client closed the connection"
                   : std::strerror(got.error));
      co_return false;
    }
    tally_->received(got.bytes);
    if (large) {
      out = out.subspan(got.bytes);
    } else {
      input_begin_ = 0;
      input_end_ = got.bytes;
    }
  }
  co_return true;
}

asio::awaitable<bool> Session::write_all(const Bytes& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const iovec piece{const_cast<std::byte*>(bytes.data()) + done,
                      bytes.size() - done};
    const auto sent = stream_.write({&piece, 1}, false);
    if (sent.state == Stream::State::kBroken) {
      end_with(std::strerror(sent.error));
      co_return false;
    }
    if (sent.state == Stream::State::kWait) co_await stream_.writable();
    done += sent.bytes;
    tally_->sent(sent.bytes);
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
  stream_.close();
}

void Session::break_off(const char* why) noexcept {
  end_with(why, End::kFault);
  broken_ = true;
  close();
  if (transmission_ && transmission_->drop_replies()) settled_.cancel();
}

void Session::end_with(std::string_view why, End end) noexcept {
  if (!why_ended_.empty()) return;
  end_ = end;
  try {
    why_ended_ = why;
  } catch (const std::exception&) {
    why_ended_ = "out of memory";  // short enough to need none
  }
}

// The one line of each connection; lost where there is no memory for it.
void Session::log_end() const noexcept try {
  const Counts counts = tally_->counts();
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - began_;
  const std::string tls =
      stream_.tls() ? printable(stream_.tls()->peer(), kLoggedText) : "";
  std::string contexts;
  std::vector<LogField> fields = {{"peer", peer_, true},
                                  {"reason", why_ended_, true}};
  if (!tls.empty()) fields.push_back({"tls", tls});
  if (transmission_) {
    const Agreement& agreement = transmission_->agreement();
    for (const SelectedContext& selected : agreement.contexts)
      contexts += (contexts.empty() ? "" : ",") + selected.name;
    contexts = printable(contexts, kLoggedContexts);
    fields.push_back({"export", agreement.served->name()});
    fields.push_back({"headers", name_of_headers(agreement.headers)});
    fields.push_back({"contexts", contexts});
    fields.push_back({"requests", counts.all_requests()});
    fields.push_back({"errors", counts.errors});
  }
  fields.push_back({"received", counts.bytes_received});
  fields.push_back({"sent", counts.bytes_sent});
  fields.push_back({"seconds", took.count()});
  log_fields(end_ == End::kFault ? LogLevel::kWarning : LogLevel::kInfo,
             peer_ + ": closed: " + why_ended_, fields);
} catch (const std::exception&) {
}

}  // namespace blksnap::nbd
