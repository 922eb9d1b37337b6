// SPDX-License-Identifier: LGPL-2.1-or-later
// Every error path, by countdown: the first allocation fails, then the second,
// until all goes well; and so with calls of a file. A program of its own, as
// it replaces operator new.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>

#include "bytes.h"
#include "export/device_export.h"
#include "failing_new.h"
#include "fake_export.h"
#include "image/raw_image.h"
#include "io/fault_file.h"
#include "nbd/execute.h"
#include "nbd/handshake.h"
#include "nbd/outbox.h"
#include "nbd/request.h"
#include "nbd/stream.h"

namespace {

enum class Memory {
  kLacksOnce,  // one large piece does not fit, say
  kIsUsedUp,   // and from there on nothing does
};

thread_local long allocations_left = -1;  // before the one that fails; or none
thread_local bool then_all = false;
thread_local bool failed = false;

}  // namespace

static bool allocation_fails() {
  if (allocations_left < 0 || allocations_left-- > 0) return false;
  failed = true;
  if (then_all) allocations_left = 0;
  return true;
}

namespace blksnap::nbd {
namespace {

// Calls something with one allocation more each time before memory lacks,
// until it does not. How often that was.
template <class Function>
unsigned count_down(Memory memory, Function function) {
  for (unsigned allocations = 0;; ++allocations) {
    CAPTURE(allocations);
    function([&](auto critical) {
      then_all = memory == Memory::kIsUsedUp;
      failed = false;
      allocations_left = allocations;
      try {
        critical();
      } catch (...) {
        allocations_left = -1;
        throw;
      }
      allocations_left = -1;
      return failed;
    });
    if (!failed) return allocations;
  }
}

Bytes option(std::uint32_t number, const Bytes& data = {}) {
  return text("IHAVEOPT") + be<4>(number) + be<4>(data.size()) + data;
}

TEST_CASE("memory lacks in a handshake: the caller hears of it") {
  auto served = std::make_shared<FakeExport>("a name of more than 15 bytes");
  served->listed = {
      std::make_shared<FakeContext>("base:allocation",
                                    std::vector<FakeContext::Piece>{}),
      std::make_shared<FakeContext>("qemu:dirty-bitmap:a",
                                    std::vector<FakeContext::Piece>{})};
  const FakeCatalogue catalogue({served});
  const Bytes queries = counted(served->name()) + be<4>(2) +
                        counted("base:allocation") +
                        counted("qemu:dirty-bitmap:a");
  const Bytes info =
      counted(served->name()) + be<2>(3) + be<2>(1) + be<2>(2) + be<2>(3);
  const Bytes dialogue =
      be<4>(3) + option(5) + option(99, text("?")) + option(8) + option(3) +
      option(3, text("?")) + option(9, counted(served->name()) + be<4>(0)) +
      option(10, queries) + option(11) + option(8) +
      option(6, counted("nope") + be<2>(0)) + option(10, queries) +
      option(6, info) + option(7, info);

  const auto talk = [&](auto& machine, Bytes& out) {
    std::span<const std::byte> in(dialogue);
    while (machine.state() != Handshake::State::kTransmission) {
      const auto part = in.first(machine.wanted());
      in = in.subspan(part.size());
      machine.feed(part, out);
      if (machine.state() == Handshake::State::kStartTls) machine.tls_started();
    }
    CHECK(in.empty());
  };
  Bytes expected;
  {
    Handshake machine(catalogue, Handshake::Security::kTls);
    talk(machine, expected);
  }
  const auto run = [&](auto during) {
    Handshake machine(catalogue, Handshake::Security::kTls);
    Bytes out;
    try {
      if (during([&] { talk(machine, out); })) FAIL("somebody kept it secret");
      CHECK(out == expected);
      const Agreement agreement = machine.take_agreement();
      CHECK(agreement.served == served);
      CHECK(agreement.headers == Headers::kExtended);
      CHECK(agreement.contexts.size() == 2);
    } catch (const std::bad_alloc&) {
      // Up to here, all was as it should be.
      CHECK(machine.state() == Handshake::State::kNegotiating);
    }
  };
  CHECK(count_down(Memory::kLacksOnce, run) > 20);
  CHECK(count_down(Memory::kIsUsedUp, run) > 20);
}

// One request of each command, and data for those that have some.
const std::vector<Request> kRequests = {
    {.type = NBD_CMD_READ, .cookie = 70, .offset = 512, .length = 9000},
    {.flags = NBD_CMD_FLAG_DF,
     .type = NBD_CMD_READ,
     .cookie = 71,
     .length = 512},
    {.type = NBD_CMD_WRITE, .cookie = 72, .offset = 100, .length = 5000},
    {.flags = NBD_CMD_FLAG_FUA,
     .type = NBD_CMD_WRITE,
     .cookie = 73,
     .length = 1},
    {.type = NBD_CMD_FLUSH, .cookie = 74},
    {.type = NBD_CMD_TRIM, .cookie = 75, .offset = 4096, .length = 4096},
    {.type = NBD_CMD_CACHE, .cookie = 76, .length = 20'000},
    {.type = NBD_CMD_WRITE_ZEROES, .cookie = 77, .length = 4096},
    {.flags = NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE,
     .type = NBD_CMD_WRITE_ZEROES,
     .cookie = 78,
     .length = 512},
    {.type = NBD_CMD_BLOCK_STATUS, .cookie = 79, .length = 20'000},
    {.flags = NBD_CMD_FLAG_REQ_ONE,
     .type = NBD_CMD_BLOCK_STATUS,
     .cookie = 80,
     .length = 20'000},
    {.type = NBD_CMD_BLOCK_STATUS,
     .cookie = 81,
     .length = 20'000,
     .contexts = 0b10},
};

Buffer buffer_for(const Request& request) {
  if (request.type != NBD_CMD_READ && request.type != NBD_CMD_WRITE) return {};
  Buffer buffer(request.length);
  std::memset(buffer.span().data(), 'w', buffer.span().size());
  return buffer;
}

// May this agreement have such a request at all?
bool fits(const Request& request, const Agreement& agreement) {
  return check_request(request, agreement).has_value();
}

// Of an error reply, the number that it tells, checking all else; 0 of another.
std::uint64_t error_of(const Bytes& reply, const Request& request,
                       Headers headers) {
  Taker in(reply);
  in.number(4);
  std::uint64_t value = 0;
  if (headers == Headers::kSimple) {
    value = in.number(4);
    CHECK(in.number(8) == request.cookie);
    if (value != 0) CHECK(in.left() == 0);
    return value;
  }
  in.number(2);
  const auto type = in.number(2);
  CHECK(in.number(8) == request.cookie);
  if (type != NBD_REPLY_TYPE_ERROR) return 0;
  if (headers == Headers::kExtended) CHECK(in.number(8) == request.offset);
  const auto length = in.number(headers == Headers::kExtended ? 8 : 4);
  CHECK(length == in.left());
  value = in.number(4);
  const auto message = in.number(2);
  CHECK(message == in.left());
  CHECK(message != 0);  // with structured replies people are told why
  return value;
}

constexpr Headers kAllHeaders[] = {Headers::kSimple, Headers::kStructured,
                                   Headers::kExtended};

Agreement agreement_on(std::shared_ptr<exports::Export> served, Headers headers,
                       std::vector<SelectedContext> contexts) {
  Agreement agreement;
  agreement.served = std::move(served);
  agreement.headers = headers;
  if (headers != Headers::kSimple) agreement.contexts = std::move(contexts);
  agreement.flags = transmission_flags(*agreement.served, headers,
                                       !agreement.contexts.empty());
  agreement.sizes = advertised_sizes(*agreement.served);
  return agreement;
}

TEST_CASE("memory lacks in a request: its client hears of it") {
  std::vector<FakeContext::Piece> pieces;
  for (std::uint32_t i = 1; i < 40; ++i) pieces.push_back({i * 512, i & 1});
  pieces.push_back({20'000, 0});
  const std::vector<SelectedContext> contexts = {
      {1, "x:fine", std::make_shared<FakeContext>("x:fine", pieces)},
      {2, "x:flat",
       std::make_shared<FakeContext>(
           "x:flat", std::vector<FakeContext::Piece>{{20'000, 1}})},
      {3, "x:broken",
       std::make_shared<FakeContext>("x:broken", pieces,
                                     refuse(EINVAL, "a longish sentence"))}};
  unsigned counted = 0;
  for (const Headers headers : kAllHeaders)
    for (const std::size_t selected : {2, 3})
      for (const Request& request : kRequests) {
        CAPTURE(static_cast<int>(headers));
        CAPTURE(request.cookie);
        auto served = std::make_shared<FakeExport>("x", 20'000);
        served->read_write = true;
        const Agreement agreement = agreement_on(
            served, headers, {contexts.begin(), contexts.begin() + selected});
        if (!fits(request, agreement)) continue;
        const auto reply_when = [&](auto during) {
          served->calls.clear();
          served->calls.shrink_to_fit();
          served->hints.clear();
          served->hints.shrink_to_fit();
          Buffer buffer = buffer_for(request);
          Reply reply;
          const bool lacked = during(
              [&] { reply = execute(request, agreement, std::move(buffer)); });
          return std::pair(lacked, bytes_of(reply));
        };
        const Bytes expected = reply_when([](auto critical) {
                                 critical();
                                 return false;
                               }).second;
        counted += count_down(Memory::kLacksOnce, [&](auto during) {
          const auto [lacked, reply] = reply_when(during);
          if (lacked) {
            CHECK(error_of(reply, request, headers) == NBD_ENOMEM);
          } else {
            CHECK(reply == expected);
          }
        });
        counted += count_down(Memory::kIsUsedUp, [&](auto during) {
          const auto [lacked, reply] = reply_when(during);
          if (!lacked) {
            CHECK(reply == expected);
          } else if (!reply.empty()) {  // else: not even for the error
            CHECK(error_of(reply, request, headers) == NBD_ENOMEM);
          }
        });
      }
  CHECK(counted > 300);
}

TEST_CASE("memory lacks while replies are sent: nothing is counted twice") {
  const auto run = [](auto during) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const UniqueFd client(ends[1]);
    boost::asio::io_context io;
    Stream stream(Stream::Socket(io, {AF_UNIX, 0}, ends[0]));
    BufferPool pool(1 << 20);
    Outbox outbox(pool);
    Outbox::Settled settled;
    std::size_t pushed = 0;
    // All that is to be sent is made before memory gets scarce.
    std::vector<Reply> replies;
    for (std::size_t i = 0; i < 40; ++i) {
      Reply& reply = replies.emplace_back();
      reply.head = be<4>(i);
      reply.data = Buffer(100);
      reply.body_size = 100;
      if (i % 2 == 0) continue;
      reply.next = std::make_unique<Reply>();
      reply.next->head = be<4>(i);
    }
    bool lacked = false;
    try {
      lacked = during([&] {
        for (; pushed < replies.size(); ++pushed)
          outbox.push(std::move(replies[pushed]), 10);
        outbox.send(stream, settled);
      });
    } catch (const std::bad_alloc&) {
      lacked = true;
    }
    if (!lacked) CHECK(outbox.empty());
    // As the session does, which cannot go on then. A reply whose push failed
    // was never the outbox's.
    outbox.clear(settled);
    CHECK(outbox.empty());
    CHECK(settled.replies == pushed);
    CHECK(settled.cost == 10 * pushed);
  };
  CHECK(count_down(Memory::kLacksOnce, run) > 5);
  CHECK(count_down(Memory::kIsUsedUp, run) > 5);
}

// From the file to the reply, through all that is in between.
struct Chain {
  Chain(Headers with, const Bytes& content) : headers(with) {
    auto made = std::make_unique<io::FaultFile>(content);
    file = made.get();
    device->name = "disk";
    device->origin = "disk.raw";
    device->image = image::make_raw_image(std::move(made), true);
    served = std::make_shared<exports::DeviceExport>(device);
    const auto allocation = served->find_context("base:allocation");
    agreement = agreement_on(served, headers,
                             {{1, allocation->name(), allocation},
                              {2, "qemu:allocation-depth",
                               served->find_context("qemu:allocation-depth")}});
  }

  // The replies to all requests that are possible.
  std::vector<std::pair<const Request*, Bytes>> run() {
    std::vector<std::pair<const Request*, Bytes>> replies;
    for (const Request& request : kRequests)
      if (fits(request, agreement))
        replies.emplace_back(&request, bytes_of(execute(request, agreement,
                                                        buffer_for(request))));
    return replies;
  }

  Headers headers;
  io::FaultFile* file = nullptr;  // the image's
  std::shared_ptr<exports::Device> device = std::make_shared<exports::Device>();
  std::shared_ptr<exports::DeviceExport> served;
  Agreement agreement;
};

TEST_CASE("a call of a file fails: that one request does, and no other") {
  Bytes content(20'000, std::byte{'c'});
  std::fill_n(content.begin() + 4096, 8192, std::byte{0});
  constexpr std::pair<int, std::uint32_t> kErrors[] = {
      {EIO, NBD_EIO}, {ENOSPC, NBD_ENOSPC}, {EPERM, NBD_EPERM}};
  for (const Headers headers : kAllHeaders) {
    CAPTURE(static_cast<int>(headers));
    Chain whole(headers, content);
    const auto expected = whole.run();
    const auto again = whole.run();  // with what has been written
    const unsigned calls = whole.file->calls() / 2;
    CHECK(calls > 8);
    for (const auto& [code, value] : kErrors)
      for (unsigned call = 0; call < calls; ++call) {
        CAPTURE(code);
        CAPTURE(call);
        Chain chain(headers, content);
        chain.file->fail_after(call, code);
        const auto replies = chain.run();
        REQUIRE(replies.size() == expected.size());
        unsigned failures = 0;
        for (const auto& [request, reply] : replies) {
          CAPTURE(request->cookie);
          const auto error = error_of(reply, *request, headers);
          if (error == 0) continue;
          CHECK(error == value);
          ++failures;
          if (headers != Headers::kSimple) {
            const std::string all(reinterpret_cast<const char*>(reply.data()),
                                  reply.size());
            CHECK(all.find(std::strerror(code)) != all.npos);
          }
        }
        CHECK(failures == 1);
        // Whatever it was, it is over.
        chain.run();
        CHECK(chain.run() == again);
      }
  }
}

}  // namespace
}  // namespace blksnap::nbd
