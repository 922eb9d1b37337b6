// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/execute.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <stdexcept>

#include "bytes.h"
#include "fake_export.h"

namespace blksnap::nbd {
namespace {

struct Setup {
  explicit Setup(Headers headers = Headers::kStructured) {
    served->read_write = true;
    agreement.served = served;
    agreement.headers = headers;
  }
  Bytes run(const Request& request, Buffer buffer = {}) const {
    return bytes_of(execute(request, agreement, std::move(buffer)));
  }
  Bytes bytes(std::size_t offset, std::size_t length) const {
    const auto at = served->bytes.begin() + static_cast<std::ptrdiff_t>(offset);
    return {at, at + static_cast<std::ptrdiff_t>(length)};
  }

  std::shared_ptr<FakeExport> served = std::make_shared<FakeExport>("x");
  Agreement agreement;
};

Bytes chunk(int type, std::size_t length) {
  return be<4>(0x668e33ef) + be<2>(1) + be<2>(type) + be<8>(77) + be<4>(length);
}
Bytes simple(int error) {
  return be<4>(0x67446698) + be<4>(error) + be<8>(77);
}
Request request(Command type, std::uint16_t flags = 0) {
  return {.flags = flags,
          .type = type,
          .cookie = 77,
          .offset = 1000,
          .length = 600};
}

TEST_CASE("read") {
  const Setup structured;
  CHECK(structured.run(request(NBD_CMD_READ), Buffer(600)) ==
        chunk(1, 608) + be<8>(1000) + structured.bytes(1000, 600));
  const Setup old(Headers::kSimple);
  CHECK(old.run(request(NBD_CMD_READ), Buffer(600)) ==
        simple(0) + old.bytes(1000, 600));
}

TEST_CASE("zeroes at the ends of what is read are holes") {
  constexpr std::size_t kLength = 5 * 4096 + 100;
  const auto ask = [](std::uint16_t flags = 0) {
    return Request{.flags = flags,
                   .type = NBD_CMD_READ,
                   .cookie = 77,
                   .offset = 512,
                   .length = kLength};
  };
  const auto part = [](int flags, int type, std::size_t length) {
    return be<4>(0x668e33ef) + be<2>(flags) + be<2>(type) + be<8>(77) +
           be<4>(length);
  };
  Setup setup;
  auto& content = setup.served->bytes;
  content.assign(512 + kLength + 512, std::byte{0});
  content[511] = content[512 + kLength] = std::byte{1};  // not asked for

  // Nothing but zeroes: one chunk, which ends the reply.
  CHECK(setup.run(ask(), Buffer(kLength)) ==
        part(1, 2, 12) + be<8>(512) + be<4>(kLength));
  // The client wants one chunk, of data; or knows no chunks.
  const Bytes zeroes(kLength);
  CHECK(setup.run(ask(NBD_CMD_FLAG_DF), Buffer(kLength)) ==
        part(1, 1, 8 + kLength) + be<8>(512) + zeroes);
  setup.agreement.headers = Headers::kSimple;
  CHECK(setup.run(ask(), Buffer(kLength)) == simple(0) + zeroes);
  setup.agreement.headers = Headers::kStructured;

  // A byte in the middle, and one at the end of a block before it.
  content[512 + 2 * 4096 + 5] = std::byte{2};
  CHECK(setup.run(ask(), Buffer(kLength)) ==
        part(0, 2, 12) + be<8>(512) + be<4>(2 * 4096) + part(0, 2, 12) +
            be<8>(512 + 3 * 4096) + be<4>(kLength - 3 * 4096) +
            part(1, 1, 8 + 4096) + be<8>(512 + 2 * 4096) +
            setup.bytes(512 + 2 * 4096, 4096));
  content[512 + 4095] = std::byte{3};
  CHECK(setup.run(ask(), Buffer(kLength)) ==
        part(0, 2, 12) + be<8>(512 + 3 * 4096) + be<4>(kLength - 3 * 4096) +
            part(1, 1, 8 + 3 * 4096) + be<8>(512) + setup.bytes(512, 3 * 4096));
  // The last block is a short one.
  content[512 + kLength - 1] = std::byte{4};
  CHECK(setup.run(ask(), Buffer(kLength)) ==
        part(1, 1, 8 + kLength) + be<8>(512) + setup.bytes(512, kLength));
}

TEST_CASE("a failing read has no data, but a reason") {
  const auto broken = [](std::uint64_t) -> Result<void> {
    return fail(EIO, "read /dev/vdb at 1000+600");
  };
  Setup structured;
  structured.served->before_read = broken;
  const std::string reason = "read /dev/vdb at 1000+600: Input/output error";
  CHECK(structured.run(request(NBD_CMD_READ), Buffer(600)) ==
        chunk(0x8001, 6 + reason.size()) + be<4>(5) + be<2>(reason.size()) +
            text(reason));
  Setup old(Headers::kSimple);
  old.served->before_read = broken;
  CHECK(old.run(request(NBD_CMD_READ), Buffer(600)) == simple(5));
}

TEST_CASE("what is thrown becomes an error reply") {
  Setup old(Headers::kSimple);
  old.served->before_read = [](std::uint64_t) -> Result<void> {
    throw std::runtime_error("a bug");
  };
  CHECK(old.run(request(NBD_CMD_READ), Buffer(600)) == simple(5));
  old.served->before_read = [](std::uint64_t) -> Result<void> {
    throw std::bad_alloc();
  };
  CHECK(old.run(request(NBD_CMD_READ), Buffer(600)) == simple(12));
}

TEST_CASE("an error message has 4096 bytes at most") {
  Setup structured;
  structured.served->before_read = [](std::uint64_t) -> Result<void> {
    return refuse(EIO, std::string(70'000, 'x'));
  };
  CHECK(structured.run(request(NBD_CMD_READ), Buffer(600)) ==
        chunk(0x8001, 6 + 4096) + be<4>(5) + be<2>(4096) +
            text(std::string(4096, 'x')));
}

TEST_CASE("writes, zeroes, trims and flushes reach the export") {
  const Setup setup;
  Buffer data(600);
  std::fill(data.span().begin(), data.span().end(), std::byte{0xee});
  CHECK(setup.run(request(NBD_CMD_WRITE, NBD_CMD_FLAG_FUA), std::move(data)) ==
        chunk(0, 0));
  CHECK(setup.bytes(1000, 600) == Bytes(600, std::byte{0xee}));
  CHECK(setup.run(request(NBD_CMD_WRITE_ZEROES)) == chunk(0, 0));
  CHECK(setup.bytes(1000, 600) == Bytes(600));
  CHECK(setup.run(request(NBD_CMD_WRITE_ZEROES,
                          NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FUA)) ==
        chunk(0, 0));
  CHECK(setup.run(request(NBD_CMD_TRIM)) == chunk(0, 0));
  CHECK(setup.run({.type = NBD_CMD_FLUSH, .cookie = 77}) == chunk(0, 0));
  CHECK(setup.served->calls == std::vector<std::string>{"write fua",
                                                        "zero trim", "zero fua",
                                                        "trim", "flush"});
}

TEST_CASE("zeroing that would not be fast is not supported") {
  const Setup old(Headers::kSimple);
  CHECK(old.run(request(NBD_CMD_WRITE_ZEROES, NBD_CMD_FLAG_FAST_ZERO)) ==
        simple(95));
}

TEST_CASE("flushing a read-only export does nothing, successfully") {
  Setup old(Headers::kSimple);
  old.served->read_write = false;
  CHECK(old.run({.type = NBD_CMD_FLUSH, .cookie = 77}) == simple(0));
  CHECK(old.served->calls.empty());
}

TEST_CASE("extended replies echo the request's offset") {
  const Setup setup(Headers::kExtended);
  const auto header = [](int flags, int type, std::size_t length) {
    return be<4>(0x6e8a278c) + be<2>(flags) + be<2>(type) + be<8>(77) +
           be<8>(1000) + be<8>(length);
  };
  CHECK(setup.run(request(NBD_CMD_READ), Buffer(600)) ==
        header(1, 1, 608) + be<8>(1000) + setup.bytes(1000, 600));
  CHECK(setup.run(request(NBD_CMD_TRIM)) == header(1, 0, 0));
  setup.served->before_read = [](std::uint64_t) -> Result<void> {
    return refuse(EIO, "broken");
  };
  CHECK(setup.run(request(NBD_CMD_READ), Buffer(600)) ==
        header(1, 0x8001, 12) + be<4>(5) + be<2>(6) + text("broken"));
  // A hole lies where it lies; the header says where the request does.
  setup.served->before_read = nullptr;
  setup.served->bytes.assign(20'000, std::byte{0});
  setup.served->bytes[1000] = std::byte{1};
  CHECK(
      setup.run(
          {.type = NBD_CMD_READ, .cookie = 77, .offset = 1000, .length = 8192},
          Buffer(8192)) == header(0, 2, 12) + be<8>(1000 + 4096) + be<4>(4096) +
                               header(1, 1, 8 + 4096) + be<8>(1000) +
                               setup.bytes(1000, 4096));
}

TEST_CASE("block status tells of the contexts asked for") {
  Setup setup(Headers::kExtended);
  for (const std::uint32_t id : {1, 2, 3}) {
    const std::string name = "x:" + std::to_string(id);
    setup.agreement.contexts.push_back(
        {id, name,
         std::make_shared<FakeContext>(
             name, std::vector<FakeContext::Piece>{{1 << 20, id}})});
  }
  const auto chunk_of = [](int flags, int id) {
    return be<4>(0x6e8a278c) + be<2>(flags) + be<2>(6) + be<8>(77) +
           be<8>(1000) + be<8>(24) + be<4>(id) + be<4>(1) + be<8>(600) +
           be<8>(id);
  };
  Request asked = request(NBD_CMD_BLOCK_STATUS);
  CHECK(setup.run(asked) == chunk_of(0, 1) + chunk_of(0, 2) + chunk_of(1, 3));
  asked.contexts = 0b101;
  CHECK(setup.run(asked) == chunk_of(0, 1) + chunk_of(1, 3));
  asked.contexts = 0b010;
  CHECK(setup.run(asked) == chunk_of(1, 2));
}

TEST_CASE("cache is passed on, with read-only exports too") {
  Setup old(Headers::kSimple);
  old.served->read_write = false;
  CHECK(old.run(request(NBD_CMD_CACHE)) == simple(0));
  CHECK(old.served->hints == std::vector<ByteRange>{{1000, 600}});
}

}  // namespace
}  // namespace blksnap::nbd
