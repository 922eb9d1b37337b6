// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/stream.h"

#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <climits>
#include <utility>

namespace blksnap::nbd {

namespace asio = boost::asio;

namespace {

// One sendfile(2) does not take longer than this many bytes do: other
// connections of the thread have their turn in between.
constexpr std::size_t kFilePiece = 4 * 1024 * 1024;

// The most that TLS puts into one record.
constexpr std::size_t kRecord = 16 * 1024;

constexpr auto kResult = asio::as_tuple(asio::use_awaitable);

Stream::Outcome failure() {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
    return {Stream::State::kWait};
  return {Stream::State::kBroken, 0, errno};
}

Stream::Outcome outcome(ssize_t moved) {
  if (moved < 0) return failure();
  return {Stream::State::kDone, static_cast<std::size_t>(moved)};
}

}  // namespace

Stream::Stream(Socket socket)
    : socket_(std::move(socket)), fd_(socket_.native_handle()) {
  socket_.native_non_blocking(true);
}

Result<void> Stream::handshake_result(Tls::State state) {
  if (fd_ < 0) return refuse(ECANCELED, "TLS handshake: closed");
  if (state != Tls::State::kDone) return refuse(EPROTO, tls_->error());
  kernel_sends_ = tls_->kernel_sends();
  if (!kernel_sends_) record_.reserve(kRecord);
  return {};
}

asio::awaitable<Result<void>> Stream::start_tls(
    std::shared_ptr<const TlsCredentials> credentials) {
  tls_ = std::make_unique<Tls>(std::move(credentials), fd_);
  auto state = Tls::State::kWantWrite;
  while (fd_ >= 0) {
    state = tls_->handshake();
    if (state == Tls::State::kWantRead) {
      co_await socket_.async_wait(Socket::wait_read, kResult);
    } else if (state == Tls::State::kWantWrite) {
      co_await writable();
    } else {
      break;
    }
  }
  co_return handshake_result(state);
}

asio::awaitable<Stream::Outcome> Stream::read(std::span<std::byte> into) {
  if (!tls_) {
    const auto [error, bytes] = co_await socket_.async_read_some(
        asio::buffer(into.data(), into.size()), kResult);
    if (error == asio::error::eof) co_return Outcome{State::kEnd};
    if (error) co_return Outcome{State::kBroken, 0, error.value()};
    co_return Outcome{State::kDone, bytes};
  }
  for (;;) {
    if (fd_ < 0) co_return Outcome{State::kEnd};
    const auto got = tls_->read(into);
    switch (got.state) {
      case Tls::State::kDone:
        co_return Outcome{State::kDone, got.bytes};
      case Tls::State::kWantRead:
        co_await socket_.async_wait(Socket::wait_read, kResult);
        break;
      case Tls::State::kWantWrite:
        co_await writable();
        break;
      case Tls::State::kEnd:
        co_return Outcome{State::kEnd};
      case Tls::State::kBroken:
        co_return Outcome{State::kBroken, 0, EPROTO};
    }
  }
}

Stream::Outcome Stream::write(std::span<const iovec> pieces, bool more) {
  if (tls_ && !kernel_sends_) return write_encrypted(pieces);
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());
  message.msg_iovlen = std::min<std::size_t>(pieces.size(), IOV_MAX);
  return outcome(::sendmsg(
      fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL | (more ? MSG_MORE : 0)));
}

// Small pieces share a record: each has a price.
Stream::Outcome Stream::write_encrypted(std::span<const iovec> pieces) {
  if (fd_ < 0) return {State::kBroken, 0, EPIPE};
  std::span from(static_cast<const std::byte*>(pieces[0].iov_base),
                 pieces[0].iov_len);
  if (from.size() < kRecord && pieces.size() > 1) {
    record_.clear();
    for (const iovec& piece : pieces) {
      const auto* bytes = static_cast<const std::byte*>(piece.iov_base);
      record_.insert(record_.end(), bytes,
                     bytes + std::min(piece.iov_len, kRecord - record_.size()));
    }
    from = record_;
  }
  const auto put = tls_->write(from);
  switch (put.state) {
    case Tls::State::kDone:
      return {State::kDone, put.bytes};
    case Tls::State::kWantRead:  // not without renegotiation
    case Tls::State::kWantWrite:
      return {State::kWait};
    default:
      return {State::kBroken, 0, EPIPE};
  }
}

Stream::Outcome Stream::send_file(int fd, std::uint64_t offset,
                                  std::size_t size) {
  off_t at = static_cast<off_t>(offset);
  const Outcome sent =
      outcome(::sendfile(fd_, fd, &at, std::min(size, kFilePiece)));
  if (sent.state == State::kDone && sent.bytes == 0) return {State::kEnd};
  return sent;
}

asio::awaitable<void> Stream::writable() {
  co_await socket_.async_wait(Socket::wait_write, kResult);
}

void Stream::shutdown_read() {
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_receive, ignored);
}

void Stream::close() {
  if (tls_ && fd_ >= 0) tls_->goodbye();
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.close(ignored);
  fd_ = -1;
}

}  // namespace blksnap::nbd
