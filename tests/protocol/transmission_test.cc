// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/transmission.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>

#include "bytes.h"
#include "fake_export.h"

namespace blksnap::nbd {
namespace {

constexpr std::size_t kMiB = 1 << 20;

// A transport that takes a given number of bytes at a time and keeps them.
class FakeTransport final : public Transport {
 public:
  Outcome write(std::span<const iovec> pieces, bool) override {
    if (broken) return {State::kBroken, 0, EPIPE};
    if (room == 0) return {State::kWait};
    std::size_t done = 0;
    for (const iovec& piece : pieces) {
      const std::size_t n = std::min(piece.iov_len, room);
      const auto* from = static_cast<const std::byte*>(piece.iov_base);
      received.insert(received.end(), from, from + n);
      room -= n;
      done += n;
    }
    return {State::kDone, done};
  }
  bool sends_files() const override { return true; }
  Outcome send_file(int, std::uint64_t, std::size_t size) override {
    const std::size_t n = std::min(size, room);
    if (n == 0) return {State::kWait};
    room -= n;
    from_files += n;
    return {State::kDone, n};
  }

  std::size_t room = std::size_t(-1);
  bool broken = false;
  Bytes received;
  std::size_t from_files = 0;
};

struct Setup {
  explicit Setup(FlightLimits limits = {4, 8 * kMiB},
                 Headers headers = Headers::kStructured,
                 std::size_t contexts = 0) {
    auto agreement = std::make_shared<Agreement>();
    agreement->served = served;
    agreement->headers = headers;
    agreement->contexts.resize(contexts);
    served->listed = {allocation};
    subject.emplace(agreement, limits, tally);
  }

  std::shared_ptr<FakeExport> served =
      std::make_shared<FakeExport>("x", 2 * kMiB);
  // Data, and zeroes in the second half.
  std::shared_ptr<FakeContext> allocation = std::make_shared<FakeContext>(
      "base:allocation",
      std::vector<FakeContext::Piece>{
          {kMiB, 0}, {2 * kMiB, exports::kStateHole | exports::kStateZero}});
  std::shared_ptr<Tally> tally = std::make_shared<Tally>();
  std::optional<Transmission> subject;
};

Request request(Command type, std::uint64_t length, std::uint64_t offset = 0,
                std::uint16_t flags = 0) {
  return {.flags = flags,
          .type = type,
          .cookie = 77,
          .offset = offset,
          .length = length};
}

TEST_CASE("transmission: a request costs the memory that it takes") {
  const Setup setup({4, 8 * kMiB}, Headers::kStructured, 2);
  const Transmission& subject = *setup.subject;
  CHECK(subject.cost_of(request(NBD_CMD_READ, 4096)) == 4096);
  CHECK(subject.cost_of(request(NBD_CMD_WRITE, 512)) == 512);
  CHECK(subject.cost_of(request(NBD_CMD_TRIM, kMiB)) == 0);
  CHECK(subject.cost_of(request(NBD_CMD_FLUSH, 0)) == 0);
  // A larger one than all that may be in flight goes ahead by itself.
  CHECK(subject.cost_of(request(NBD_CMD_READ, 32 * kMiB)) == 8 * kMiB);
  // Block status: for each context an extent a sector, at most.
  const std::size_t few =
      subject.cost_of(request(NBD_CMD_BLOCK_STATUS, 512 * 9));
  const std::size_t more =
      subject.cost_of(request(NBD_CMD_BLOCK_STATUS, 512 * 19));
  CHECK(few > 0);
  CHECK(more == 2 * few);
  CHECK(subject.cost_of(request(NBD_CMD_BLOCK_STATUS, 512 * 19, 0,
                                NBD_CMD_FLAG_REQ_ONE)) < few);
}

TEST_CASE("transmission: limits of requests and of bytes, never of one alone") {
  Setup setup({2, 100});
  Transmission& subject = *setup.subject;
  CHECK(subject.has_room(100));
  subject.worker_began(100);
  CHECK(!subject.has_room(1));
  CHECK(subject.has_room(0));
  subject.worker_finished(100);
  subject.worker_began(10);
  CHECK(subject.has_room(90));
  CHECK(!subject.has_room(91));
  subject.worker_began(0);
  CHECK(!subject.has_room(0));
  CHECK(subject.in_flight() == 2);
}

TEST_CASE("transmission: a reply counts until its last byte is sent") {
  Setup setup({1, 100});
  Transmission& subject = *setup.subject;
  FakeTransport client;
  client.room = 5;
  subject.send_later(done_reply(request(NBD_CMD_FLUSH, 0), Headers::kSimple),
                     7);
  CHECK(subject.in_flight() == 1);
  auto sent = subject.send(client);
  CHECK(sent.outcome.state == Transport::State::kWait);
  CHECK(!sent.settled);
  CHECK(!subject.has_room(0));
  CHECK(setup.tally->counts().bytes_sent == 5);
  client.room = 1000;
  sent = subject.send(client);
  CHECK(sent.outcome.state == Transport::State::kDone);
  CHECK(sent.settled);
  CHECK(subject.in_flight() == 0);
  CHECK(!subject.has_replies());
  CHECK(client.received == be<4>(0x67446698) + be<4>(0) + be<8>(77));
  CHECK(setup.tally->counts().bytes_sent == client.received.size());
}

TEST_CASE("transmission: a client that has gone takes its replies along") {
  Setup setup;
  Transmission& subject = *setup.subject;
  FakeTransport client;
  client.broken = true;
  const Request asked = request(NBD_CMD_READ, 512);
  subject.send_later(error_reply(asked, Headers::kSimple, {EIO, "no"}), 512);
  subject.send_later(error_reply(asked, Headers::kSimple, {EIO, "no"}), 512);
  CHECK(setup.tally->counts().errors == 2);
  const auto sent = subject.send(client);
  CHECK(sent.outcome.state == Transport::State::kBroken);
  CHECK(sent.outcome.error == EPIPE);
  CHECK(!sent.settled);
  CHECK(subject.in_flight() == 2);
  CHECK(subject.drop_replies());
  CHECK(subject.in_flight() == 0);
  CHECK(!subject.drop_replies());
}

TEST_CASE("transmission: reads that need not wait") {
  Setup setup;
  Transmission& subject = *setup.subject;
  SUBCASE("small ones are copied") {
    const auto reply =
        subject.read_now(request(NBD_CMD_READ, 512), /*sends_files=*/true);
    REQUIRE(reply);
    CHECK(!reply->in_file());
    CHECK(reply->body().size() == 512);
  }
  SUBCASE("what is not in memory is for a worker") {
    setup.served->before_read = [](std::uint64_t) { return Result<void>(); };
    CHECK(!subject.read_now(request(NBD_CMD_READ, 512), true));
    CHECK(!subject.read_now(request(NBD_CMD_READ, 64 * 1024), true));
  }
  SUBCASE("large ones are sent from the page cache, if that can be") {
    setup.served->file = 5;
    CHECK(!subject.read_now(request(NBD_CMD_READ, 64 * 1024), false));
    const auto reply =
        subject.read_now(request(NBD_CMD_READ, 64 * 1024, 4096), true);
    REQUIRE(reply);
    CHECK(reply->in_file());
    CHECK(reply->file.fd == 5);
    CHECK(reply->file.offset == 4096);
    CHECK(reply->body_size == 64 * 1024);
  }
  SUBCASE("a hole is told, and not read") {
    setup.served->file = 5;
    // base:allocation tells zeroes from here on.
    setup.served->listed = {std::make_shared<FakeContext>(
        "base:allocation",
        std::vector<FakeContext::Piece>{{2 * kMiB, exports::kStateZero}})};
    auto agreement = std::make_shared<Agreement>();
    agreement->served = setup.served;
    agreement->headers = Headers::kStructured;
    Transmission zeroes(agreement, {4, kMiB}, setup.tally);
    const auto hole =
        zeroes.read_now(request(NBD_CMD_READ, 64 * 1024, kMiB), true);
    REQUIRE(hole);
    CHECK(!hole->in_file());
    CHECK(hole->body().size() == 0);
    // A client that wants no chunks, or one alone, gets the zeroes.
    const auto whole = zeroes.read_now(
        request(NBD_CMD_READ, 64 * 1024, kMiB, NBD_CMD_FLAG_DF), true);
    REQUIRE(whole);
    CHECK(whole->in_file());
  }
}

}  // namespace
}  // namespace blksnap::nbd
