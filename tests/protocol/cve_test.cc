// SPDX-License-Identifier: LGPL-2.1-or-later
// What brought other NBD servers down, said to this one. Cases that need a
// whole server are in the Python tests: the table in core/nbd/README.md.
#include <doctest/doctest.h>

#include <cerrno>
#include <numeric>

#include "bytes.h"
#include "fake_export.h"
#include "nbd/block_status.h"
#include "nbd/execute.h"
#include "nbd/handshake.h"
#include "nbd/request.h"

namespace blksnap::nbd {
namespace {

constexpr std::uint64_t kMax32 = 0xffffffff;

// An export of 2^63-1 bytes, the most there is, in contexts that have a single
// extent of all of it, and of all but its first 2^32-1 bytes and so on.
struct Large {
  explicit Large(Headers headers) {
    served->pretended_size = std::numeric_limits<std::int64_t>::max();
    agreement.served = served;
    agreement.headers = headers;
    std::uint32_t id = 0;
    for (const std::uint64_t edge :
         {kMax32 - 1, kMax32, kMax32 + 1, kMax32 + 2, std::uint64_t{1} << 62})
      add(++id, {{edge, 1}, {~std::uint64_t{0}, 0}});
    add(++id, {{~std::uint64_t{0}, 0}});
    agreement.flags = transmission_flags(*served, headers, true);
    agreement.sizes = advertised_sizes(*served);
  }
  void add(std::uint32_t id, std::vector<FakeContext::Piece> pieces) {
    const std::string name = "x:" + std::to_string(id);
    agreement.contexts.push_back(
        {id, name, std::make_shared<FakeContext>(name, std::move(pieces))});
  }

  // The lengths told for each context, added up.
  std::vector<std::uint64_t> lengths(const Request& request) const {
    const auto allowed = check_request(request, agreement);
    REQUIRE(allowed.has_value());
    const bool extended = agreement.headers == Headers::kExtended;
    const int width = extended ? 8 : 4;
    Taker in(bytes_of(execute(request, agreement, {})));
    std::vector<std::uint64_t> sums;
    while (in.left() != 0) {
      CHECK(in.number(4) == (extended ? 0x6e8a278c : 0x668e33ef));
      in.number(2);
      CHECK(in.number(2) == (extended ? 6 : 5));
      CHECK(in.number(8) == request.cookie);
      if (extended) CHECK(in.number(8) == request.offset);
      std::uint64_t payload = in.number(width) - width;
      in.number(width);  // the id; the count as well if extended
      std::uint64_t& sum = sums.emplace_back(0);
      for (; payload != 0; payload -= 2 * width) {
        const std::uint64_t length = in.number(width);
        CHECK(length != 0);
        // Clients take it for a signed number.
        CHECK(length <= std::numeric_limits<std::int64_t>::max());
        sum += length;
        in.number(width);
      }
    }
    return sums;
  }

  std::shared_ptr<FakeExport> served = std::make_shared<FakeExport>("x", 0);
  Agreement agreement;
};

// nbdkit took an extent that is longer than the request, of 2^32 bytes or
// more, for a bug of its own, and ended.
TEST_CASE("CVE-2025-47711: extents around 2^32, and longer than the request") {
  const Large structured(Headers::kStructured);
  for (const std::uint64_t length : {kMax32 - 1, kMax32})
    for (const std::uint64_t offset : {0ull, 1ull, 1ull << 40})
      for (const std::uint16_t flags :
           {std::uint16_t{0}, NBD_CMD_FLAG_REQ_ONE}) {
        const auto sums = structured.lengths({.flags = flags,
                                              .type = NBD_CMD_BLOCK_STATUS,
                                              .cookie = 1,
                                              .offset = offset,
                                              .length = length});
        REQUIRE(sums.size() == 6);
        for (const std::uint64_t sum : sums) {
          CHECK(sum == sums[0]);
          CHECK(sum <= length);
          if (flags == 0) CHECK(sum == length);
        }
      }
}

// nbdkit's blocksize filter rounded a request of nearly 2^32 bytes up, to 0.
TEST_CASE("CVE-2025-47712: requests whose end, rounded up, would be 0") {
  Large structured(Headers::kStructured);
  structured.agreement.sizes_agreed = true;
  structured.agreement.sizes.minimum = 512;
  for (const std::uint64_t length : {kMax32, kMax32 - 510})
    CHECK(check_request({.type = NBD_CMD_BLOCK_STATUS, .length = length},
                        structured.agreement)
              .has_error());
  for (const std::uint64_t sum :
       structured.lengths({.type = NBD_CMD_BLOCK_STATUS,
       .cookie = 1,
       .offset = 512,
       .length = kMax32 - 511}))
    CHECK(sum == kMax32 - 511);
  // As with 64 bits, whether or not the client keeps to a minimum.
  const Large extended(Headers::kExtended);
  const std::uint64_t size = extended.served->size();
  for (const std::uint64_t offset : {std::uint64_t{1}, size - 1, size})
    for (const std::uint64_t length : {~std::uint64_t{0}, size + 1 - offset})
      CHECK(check_request({.type = NBD_CMD_BLOCK_STATUS,
                           .offset = offset,
                           .length = length},
                          extended.agreement)
                .has_error());
}

// libnbd's client did not expect lengths of 63 bits. This is the other end:
// nothing is told beyond the request, whatever a context says.
TEST_CASE("CVE-2023-5871: 64-bit extents stay within the request") {
  const Large extended(Headers::kExtended);
  const std::uint64_t size = extended.served->size();
  for (const std::uint64_t length : {kMax32, kMax32 + 1, size - 1, size})
    for (const std::uint64_t sum : extended.lengths(
             {.type = NBD_CMD_BLOCK_STATUS, .cookie = 1, .length = length}))
      CHECK(sum == length);
}

struct Talk {
  // The types of the replies.
  std::vector<std::uint32_t> say(const Bytes& bytes) {
    Bytes out;
    std::span<const std::byte> in(bytes);
    while (machine.state() == Handshake::State::kNegotiating &&
           in.size() >= machine.wanted()) {
      const auto part = in.first(machine.wanted());
      in = in.subspan(part.size());
      machine.feed(part, out);
    }
    std::vector<std::uint32_t> types;
    Taker replies(std::move(out));
    while (replies.left() != 0) {
      replies.number(12);
      types.push_back(static_cast<std::uint32_t>(replies.number(4)));
      replies.string(replies.number(4));
    }
    return types;
  }
  static Bytes option(std::uint32_t number, const Bytes& data) {
    return text("IHAVEOPT") + be<4>(number) + be<4>(data.size()) + data;
  }
  bool negotiating() const {
    return machine.state() == Handshake::State::kNegotiating;
  }

  FakeCatalogue catalogue{{std::make_shared<FakeExport>("x", 512)}};
  Handshake machine{catalogue};
};

using Types = std::vector<std::uint32_t>;
constexpr std::uint32_t kInvalid = 0x80000003, kUnknown = 0x80000006,
                        kTooBig = 0x80000009;

// nbd-server allocated the length of a name plus 1, and read the name into it.
TEST_CASE("CVE-2022-26495: a name of 2^32-1 bytes") {
  Talk talk;
  talk.say(be<4>(3));
  for (const std::uint32_t option : {6, 7, 9, 10})
    CHECK(talk.say(Talk::option(option, be<4>(kMax32) + be<4>(0))) ==
          Types{kInvalid});
  CHECK(talk.negotiating());
}

// nbd-server read the name into a buffer of 1024 bytes.
TEST_CASE("CVE-2022-26496: a name that is longer than its option") {
  Talk talk;
  talk.say(be<4>(3));
  for (const std::size_t length : {2, 1025, 4096, 4097, 65536})
    for (const std::uint32_t option : {6, 7, 9, 10})
      CHECK(talk.say(Talk::option(option, be<4>(length) + text("x"))) ==
            Types{kInvalid});
  CHECK(talk.negotiating());
}

// QEMU had 256 bytes for a name that the protocol allows 4096.
TEST_CASE("CVE-2017-15118: the longest name") {
  Talk talk;
  talk.say(be<4>(3));
  const std::string name(4096, 'a');
  CHECK(talk.say(Talk::option(6, counted(name) + be<2>(0))) == Types{kUnknown});
  CHECK(talk.say(Talk::option(6, counted(name + "a") + be<2>(0))) ==
        Types{kInvalid});
  CHECK(talk.negotiating());
  talk.say(Talk::option(1, text(name)));
  CHECK_FALSE(talk.negotiating());
}

// QEMU read and dropped up to 4 GiB for each option of one connection.
TEST_CASE("CVE-2017-15119: options with much data") {
  Talk talk;
  talk.say(be<4>(3));
  CHECK(talk.say(Talk::option(99, Bytes(1 << 20))) == Types{kTooBig});
  CHECK(talk.negotiating());
  talk.say(text("IHAVEOPT") + be<4>(99) + be<4>((32 << 20) + 1));
  CHECK_FALSE(talk.negotiating());
}

// nbd-server's child ended its parent: at an export that there is not, and at
// a connection that is closed (see test-hostile.py).
TEST_CASE("CVE-2013-7441: an export that there is not") {
  Talk talk;
  talk.say(be<4>(3));
  CHECK(talk.say(Talk::option(7, counted("nope") + be<2>(0))) ==
        Types{kUnknown});
  talk.say(Talk::option(1, text("nope")));
  CHECK_FALSE(talk.negotiating());
  CHECK_FALSE(talk.machine.reason().empty());
}

}  // namespace
}  // namespace blksnap::nbd
