// SPDX-License-Identifier: LGPL-2.1-or-later
// A whole server, of which one allocation on one of its threads fails; then
// another one, until all goes well. A program of its own, as it replaces
// operator new.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "bytes.h"
#include "failing_new.h"
#include "fake_export.h"
#include "nbd/server.h"

namespace {

// On all threads but this one: before the one that fails, or none does.
std::atomic<long> allocations_left{-1};
std::atomic<bool> failed{false};
thread_local bool spared = false;

}  // namespace

static bool allocation_fails() {
  if (spared || allocations_left < 0 || allocations_left-- != 0) return false;
  failed = true;
  return true;
}

namespace blksnap::nbd {
namespace {

Bytes option(std::uint32_t number, const Bytes& data = {}) {
  return text("IHAVEOPT") + be<4>(number) + be<4>(data.size()) + data;
}
Bytes request(int command, std::uint64_t offset, std::size_t length,
              const Bytes& data = {}) {
  return be<4>(0x25609513) + be<2>(0) + be<2>(command) + be<8>(7) +
         be<8>(offset) + be<4>(length) + data;
}

// How many bytes the server says until it closes the connection, which it
// does in any case.
std::size_t talk(Server& server, const Bytes& words) {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd client(ends[0]);
  const timeval patience{60, 0};
  ::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  REQUIRE(server.serve(UniqueFd(ends[1]), "test").has_value());
  // It may be gone before it has read all of it.
  [[maybe_unused]] const auto sent =
      ::send(ends[0], words.data(), words.size(), MSG_NOSIGNAL);
  std::size_t total = 0;
  Bytes part(1 << 16);
  for (;;) {
    const ssize_t got = ::recv(ends[0], part.data(), part.size(), 0);
    if (got < 0) REQUIRE(errno == ECONNRESET);
    if (got <= 0) return total;
    total += static_cast<std::size_t>(got);
  }
}

TEST_CASE("memory lacks in a server: one client loses, and no other") {
  spared = true;
  auto served = std::make_shared<FakeExport>("x");
  served->read_write = true;
  served->before_read = [](std::uint64_t) -> Result<void> { return {}; };
  served->listed = {
      std::make_shared<FakeContext>(
          "base:allocation",
          std::vector<FakeContext::Piece>{{4096, 1}, {1 << 20, 0}}),
      std::make_shared<FakeContext>(
          "qemu:dirty-bitmap:a",
          std::vector<FakeContext::Piece>{{1 << 20, 0}})};
  const auto catalogue = std::make_shared<FakeCatalogue>(
      std::vector<std::shared_ptr<FakeExport>>{served});
  const Bytes words =
      be<4>(3) + option(8) +
      option(10, counted("x") + be<4>(2) + counted("base:allocation") +
                     counted("qemu:dirty-bitmap:a")) +
      option(7, counted("x") + be<2>(0)) + request(0, 0, 1 << 18) +
      request(7, 0, 8192) + request(0, 1 << 20, 1) +
      request(1, 0, 512, Bytes(512)) + request(3, 0, 0) + request(2, 0, 0);

  std::size_t expected = 0;
  for (long allocations = 0; allocations < 2000; ++allocations) {
    CAPTURE(allocations);
    ServerOptions options;
    options.threads = 1;
    options.workers = 2;
    Server server(catalogue, options);
    server.start();
    if (expected == 0) expected = talk(server, words);
    failed = false;
    allocations_left = allocations;
    const std::size_t said = talk(server, words);
    allocations_left = -1;
    if (!failed) CHECK(said == expected);
    CHECK(talk(server, words) == expected);
    server.stop();
    if (!failed) {
      CHECK(allocations > 40);
      return;
    }
  }
  FAIL("never without a failure");
}

}  // namespace
}  // namespace blksnap::nbd
