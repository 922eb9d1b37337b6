// SPDX-License-Identifier: LGPL-2.1-or-later
// Whole sessions in this process: what happens at the same time, and how
// things end.
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <future>
#include <map>
#include <random>
#include <thread>

#include "bytes.h"
#include "fake_export.h"
#include "nbd/server.h"
#include "socket_client.h"

namespace blksnap::nbd {
namespace {

using namespace std::chrono_literals;

// Holds threads up until it is opened, and knows how many wait.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++came_;
    most_ = std::max(most_, ++waiting_);
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --waiting_;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool wait_for(std::size_t waiting) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return waiting_ >= waiting; });
  }
  std::size_t came() {
    const std::lock_guard lock(mutex_);
    return came_;
  }
  // At the same time.
  std::size_t most() {
    const std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  std::size_t waiting_ = 0;
  std::size_t came_ = 0;
  std::size_t most_ = 0;
};

struct Fixture {
  Fixture() {
    served->listed = {std::make_shared<FakeContext>(
        "base:allocation", std::vector<FakeContext::Piece>{{1 << 20, 0}})};
  }
  ~Fixture() { gate.open(); }

  // Reads below 4096 wait at the gate.
  void gate_reads() {
    served->before_read = [this](std::uint64_t offset) -> Result<void> {
      if (offset < 4096) gate.pass();
      return {};
    };
  }
  Server& server() {
    if (!server_) {
      server_ = std::make_unique<Server>(catalogue, options);
      server_->start();
    }
    return *server_;
  }
  // Connected by a socket pair; has not said anything yet.
  SocketClient plain_client() {
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    SocketClient client{UniqueFd(pair[0])};
    REQUIRE(server().serve(UniqueFd(pair[1]), "test").has_value());
    return client;
  }
  // In transmission phase, with structured replies.
  SocketClient client() {
    SocketClient result = plain_client();
    result.handshake();
    return result;
  }
  Bytes expected(std::uint64_t offset, std::size_t length) const {
    const auto at = served->bytes.begin() + static_cast<std::ptrdiff_t>(offset);
    return {at, at + static_cast<std::ptrdiff_t>(length)};
  }
  // Does the server still serve?
  void check_another_client() {
    SocketClient other = client();
    other.ask(NBD_CMD_READ, 5, 8192, 512);
    const auto reply = other.reply();
    CHECK(reply.cookie == 5);
    CHECK(reply.data == expected(8192, 512));
  }

  Gate gate;
  std::shared_ptr<FakeExport> served = std::make_shared<FakeExport>("x");
  std::shared_ptr<FakeCatalogue> catalogue = std::make_shared<FakeCatalogue>(
      std::vector<std::shared_ptr<FakeExport>>{served});
  ServerOptions options;

 private:
  std::unique_ptr<Server> server_;
};

TEST_CASE_FIXTURE(Fixture, "slow reads hold up nobody on their connection") {
  gate_reads();
  SocketClient one = client();
  for (std::uint64_t cookie = 0; cookie < 16; ++cookie)
    one.ask(NBD_CMD_READ, cookie, 0, 512);
  REQUIRE(gate.wait_for(16));
  one.ask(NBD_CMD_READ, 100, 4096, 512);
  one.ask(NBD_CMD_BLOCK_STATUS, 101, 0, 4096);
  one.ask(NBD_CMD_READ, 102, 1 << 20, 512);  // beyond the end
  std::map<std::uint64_t, Chunk> replies;
  for (int i = 0; i < 3; ++i) {
    Chunk reply = one.reply();
    replies[reply.cookie] = std::move(reply);
  }
  CHECK(replies[100].data == expected(4096, 512));
  CHECK(replies[101].type == NBD_REPLY_TYPE_BLOCK_STATUS);
  CHECK(replies[102].error == NBD_EINVAL);
  gate.open();
  for (int i = 0; i < 16; ++i) CHECK(one.reply().data == expected(0, 512));
}

TEST_CASE_FIXTURE(Fixture, "many requests on several connections") {
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) {
    threads.emplace_back([this, seed, one = client()]() mutable {
      std::mt19937 random(seed);
      std::map<std::uint64_t, std::pair<std::uint64_t, std::uint32_t>> open;
      std::uint64_t cookie = seed * 1'000'000;
      int to_send = 300, wrong = 0;
      while (to_send != 0 || !open.empty()) {
        if (to_send != 0 && open.size() < 32) {
          const std::uint64_t offset = random() % ((1 << 20) - 1);
          const auto most =
              std::min<std::uint64_t>((1 << 20) - offset, 200'000);
          const auto length = static_cast<std::uint32_t>(random() % most + 1);
          open[++cookie] = {offset, length};
          one.ask(NBD_CMD_READ, cookie, offset, length);
          --to_send;
        } else {
          const auto reply = one.reply();
          const auto [offset, length] = open.at(reply.cookie);
          wrong += reply.data != expected(offset, length);
          open.erase(reply.cookie);
        }
      }
      CHECK(wrong == 0);
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_CASE_FIXTURE(Fixture, "requests in flight are bounded") {
  options.requests_in_flight = 4;
  gate_reads();
  SocketClient one = client();
  for (int i = 0; i < 20; ++i) one.ask(NBD_CMD_READ, 1, 0, 512);
  REQUIRE(gate.wait_for(4));
  std::this_thread::sleep_for(50ms);  // time to do wrong
  CHECK(gate.most() == 4);
  gate.open();
  for (int i = 0; i < 20; ++i) one.reply();
}

TEST_CASE_FIXTURE(Fixture, "bytes in flight are bounded, but one goes ahead") {
  options.bytes_in_flight = 1 << 16;
  gate_reads();
  SocketClient one = client();
  one.ask(NBD_CMD_READ, 1, 0, 1 << 18);
  for (int i = 0; i < 3; ++i) one.ask(NBD_CMD_READ, 1, 0, 1 << 15);
  REQUIRE(gate.wait_for(1));
  std::this_thread::sleep_for(50ms);
  CHECK(gate.most() == 1);
  gate.open();
  for (int i = 0; i < 4; ++i) one.reply();
}

TEST_CASE_FIXTURE(Fixture, "bytes in flight are given back by replies") {
  options.bytes_in_flight = 1 << 16;
  gate_reads();
  SocketClient one = client();
  one.ask(NBD_CMD_READ, 1, 8192, 1 << 16);
  one.reply();
  one.ask(NBD_CMD_READ, 1, 0, 512);
  one.ask(NBD_CMD_READ, 1, 0, 512);
  CHECK(gate.wait_for(2));
  gate.open();
}

TEST_CASE_FIXTURE(Fixture, "a refused write's data is not taken for requests") {
  SocketClient one = client();
  one.ask(NBD_CMD_WRITE, 1, 0, 300'000, 0, Bytes(300'000, std::byte{0x25}));
  one.ask(NBD_CMD_READ, 2, 8192, 512);
  CHECK(one.reply().error == NBD_EPERM);
  CHECK(one.reply().data == expected(8192, 512));
}

TEST_CASE_FIXTURE(Fixture, "writes, where the export takes them") {
  served->read_write = true;
  SocketClient one = client();
  one.ask(NBD_CMD_WRITE, 1, 1000, 300'000, NBD_CMD_FLAG_FUA,
          Bytes(300'000, std::byte{0x25}));
  CHECK(one.reply().error == 0);
  one.ask(NBD_CMD_READ, 2, 1000, 300'000);
  CHECK(one.reply().data == Bytes(300'000, std::byte{0x25}));
  one.ask(NBD_CMD_WRITE, 3, 1 << 20, 512, 0, Bytes(512));
  CHECK(one.reply().error == NBD_ENOSPC);
}

TEST_CASE_FIXTURE(Fixture, "a write of more than 32 MiB ends the session") {
  served->read_write = true;
  SocketClient one = client();
  one.ask(NBD_CMD_WRITE, 1, 0, (32 << 20) + 1);
  CHECK(one.at_end());
  check_another_client();
}

TEST_CASE_FIXTURE(Fixture, "a wrong magic number ends the session") {
  SocketClient one = client();
  one.send(Bytes(28));
  CHECK(one.at_end());
  check_another_client();
}

TEST_CASE_FIXTURE(Fixture, "DISC: what is in flight is answered first") {
  gate_reads();
  SocketClient one = client();
  one.ask(NBD_CMD_READ, 1, 0, 512);
  one.ask(NBD_CMD_DISC, 2, 0, 0);
  REQUIRE(gate.wait_for(1));
  gate.open();
  CHECK(one.reply().data == expected(0, 512));
  CHECK(one.at_end());
}

TEST_CASE_FIXTURE(Fixture, "clients that vanish leave nothing behind") {
  gate_reads();
  {
    SocketClient one = client();
    for (int i = 0; i < 8; ++i) one.ask(NBD_CMD_READ, 1, 0, 65536);
    REQUIRE(gate.wait_for(8));
  }
  {
    SocketClient half = client();
    half.send(be<4>(0x25609513));
  }
  { SocketClient silent = plain_client(); }
  gate.open();
  check_another_client();
  server().stop();
}

TEST_CASE_FIXTURE(Fixture, "stop() lets requests in flight finish") {
  gate_reads();
  SocketClient one = client();
  SocketClient idle = client();
  SocketClient silent = plain_client();
  one.ask(NBD_CMD_READ, 1, 0, 512);
  REQUIRE(gate.wait_for(1));
  auto stopped = std::async(std::launch::async, [this] { server().stop(); });
  CHECK(idle.at_end());
  silent.receive(18);
  CHECK(silent.at_end());
  CHECK(stopped.wait_for(0s) == std::future_status::timeout);
  gate.open();
  CHECK(one.reply().data == expected(0, 512));
  CHECK(one.at_end());
  CHECK(stopped.wait_for(20s) == std::future_status::ready);
  server().stop();  // again, for nothing
}

TEST_CASE_FIXTURE(Fixture,
                  "stop() does not wait for clients that do not read") {
  options.stop_timeout = 100ms;
  SocketClient one = client();
  for (int i = 0; i < 10; ++i) one.ask(NBD_CMD_READ, 1, 0, 1 << 20);
  auto stopped = std::async(std::launch::async, [this] { server().stop(); });
  CHECK(stopped.wait_for(20s) == std::future_status::ready);
}

TEST_CASE_FIXTURE(Fixture, "stop() drops what no worker has begun") {
  options.stop_timeout = 50ms;
  options.workers = 1;
  gate_reads();
  SocketClient one = client();
  for (int i = 0; i < 3; ++i) one.ask(NBD_CMD_READ, 1, 0, 512);
  REQUIRE(gate.wait_for(1));
  auto stopped = std::async(std::launch::async, [this] { server().stop(); });
  CHECK(one.at_end());
  CHECK(stopped.wait_for(0s) == std::future_status::timeout);
  gate.open();
  CHECK(stopped.wait_for(20s) == std::future_status::ready);
  CHECK(gate.came() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a handshake takes no longer than allowed") {
  options.handshake_timeout = 50ms;
  SocketClient silent = plain_client();
  silent.receive(18);
  CHECK(silent.at_end());
  SocketClient busy = plain_client();
  busy.receive(18);
  busy.send(be<4>(3));
  busy.send(text("IHAVEOPT") + be<4>(8));
  CHECK(busy.at_end());
}

TEST_CASE_FIXTURE(Fixture, "it does not limit the transmission phase") {
  options.handshake_timeout = 200ms;
  SocketClient one = client();
  std::this_thread::sleep_for(300ms);
  one.ask(NBD_CMD_READ, 1, 8192, 512);
  CHECK(one.reply().data == expected(8192, 512));
}

TEST_CASE_FIXTURE(Fixture, "connections above the limit wait for their turn") {
  options.max_connections = 2;
  const TempSocket place;
  auto listener = listen_unix(place.path);
  REQUIRE(listener.has_value());
  server().add_listener(std::move(*listener));
  auto first = std::make_unique<SocketClient>(place.connect());
  first->handshake();
  SocketClient second(place.connect());
  second.handshake();
  SocketClient third(place.connect());
  CHECK_FALSE(third.readable(100ms));
  first.reset();
  CHECK(third.readable(20s));
  third.handshake();
  third.ask(NBD_CMD_READ, 1, 8192, 512);
  CHECK(third.reply().data == expected(8192, 512));
}

TEST_CASE_FIXTURE(Fixture, "what is no stream socket is not served") {
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  const UniqueFd writing(pipe[1]);
  const auto refused = server().serve(UniqueFd(pipe[0]), "pipe");
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == EINVAL);
}

TEST_CASE("a server that was never started can go") {
  const TempSocket place;
  Server server(std::make_shared<FakeCatalogue>(
      std::vector<std::shared_ptr<FakeExport>>{}));
  auto listener = listen_unix(place.path);
  REQUIRE(listener.has_value());
  server.add_listener(std::move(*listener));
}

}  // namespace
}  // namespace blksnap::nbd
