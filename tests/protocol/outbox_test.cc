// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/outbox.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <optional>
#include <random>

#include "base/fd.h"
#include "bytes.h"
#include "nbd/stream.h"

namespace blksnap::nbd {
namespace {

using State = Stream::State;

Bytes noise(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// An outbox, and the client's end of its connection.
class Connection {
 public:
  Connection() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    // Little room, so that most writes are partial.
    const int room = 4096;
    ::setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    Stream::Socket socket(io_, {AF_UNIX, 0}, ends[0]);
    stream_.emplace(std::move(socket));
    client = UniqueFd(ends[1]);
  }

  // What the client has received when everything is sent.
  Bytes deliver() {
    Bytes received;
    for (;;) {
      const auto sent = outbox.send(*stream_, settled);
      last = sent;
      if (sent.state != State::kWait) break;
      drain(received);
    }
    drain(received);
    return received;
  }

  void drain(Bytes& received) const {
    Bytes part(1 << 16);
    for (;;) {
      const ssize_t got =
          ::recv(client.get(), part.data(), part.size(), MSG_DONTWAIT);
      if (got <= 0) return;
      received.insert(received.end(), part.begin(), part.begin() + got);
    }
  }

  Stream& stream() { return *stream_; }

  BufferPool pool{1 << 20};
  Outbox outbox{pool};
  Outbox::Settled settled;
  Stream::Outcome last;
  UniqueFd client;

 private:
  boost::asio::io_context io_;
  std::optional<Stream> stream_;
};

Reply small(const Bytes& head) {
  Reply reply;
  reply.head = head;
  return reply;
}

Reply with_data(const Bytes& head, const Bytes& data, std::size_t offset,
                std::size_t size) {
  Reply reply = small(head);
  reply.data = Buffer(data.size());
  std::copy(data.begin(), data.end(), reply.data.span().begin());
  reply.body_offset = offset;
  reply.body_size = size;
  return reply;
}

UniqueFd file_of(const Bytes& content) {
  UniqueFd fd(::memfd_create("outbox", MFD_CLOEXEC));
  REQUIRE(::write(fd.get(), content.data(), content.size()) ==
          static_cast<ssize_t>(content.size()));
  return fd;
}

Reply from_file(const Bytes& head, int fd, std::uint64_t offset,
                std::size_t size) {
  Reply reply = small(head);
  reply.file = {fd, offset};
  reply.body_size = size;
  return reply;
}

TEST_CASE("replies leave whole and in order, wherever their data is") {
  Connection connection;
  const Bytes content = noise(300'000, 1);
  const UniqueFd file = file_of(content);
  Bytes expected;
  std::size_t cost = 0;
  std::mt19937 random(2);
  for (unsigned i = 0; i < 500; ++i) {
    const Bytes head = noise(1 + random() % 60, 100 + i);
    const std::size_t offset = random() % 200'000;
    const std::size_t size = 1 + random() % (i % 50 == 0 ? 100'000 : 3000);
    const Bytes body(
        content.begin() + static_cast<std::ptrdiff_t>(offset),
        content.begin() + static_cast<std::ptrdiff_t>(offset + size));
    expected = expected + head;
    switch (random() % 3) {
      case 0:
        connection.outbox.push(small(head), i);
        break;
      case 1:
        connection.outbox.push(with_data(head, content, offset, size), i);
        expected = expected + body;
        break;
      case 2:
        connection.outbox.push(from_file(head, file.get(), offset, size), i);
        expected = expected + body;
        break;
    }
    cost += i;
  }
  CHECK(connection.deliver() == expected);
  CHECK(connection.last.state == State::kDone);
  CHECK(connection.outbox.empty());
  CHECK(connection.settled.replies == 500);
  CHECK(connection.settled.cost == cost);
}

TEST_CASE("the chunks of a reply follow one another, and count as one reply") {
  Connection connection;
  Reply reply = small(be<4>(1));
  reply.descriptors = {{1, 2}, {3, 4}};
  reply.body_size = 20;
  const Bytes body(reply.body().begin(), reply.body().end());
  reply.next = std::make_unique<Reply>(small(be<4>(2)));
  reply.next->next =
      std::make_unique<Reply>(with_data(be<4>(3), noise(5000, 6), 0, 5000));
  connection.outbox.push(std::move(reply), 11);
  connection.outbox.push(small(be<4>(4)), 2);
  CHECK(connection.deliver() ==
        be<4>(1) + body + be<4>(2) + be<4>(3) + noise(5000, 6) + be<4>(4));
  CHECK(connection.settled.replies == 2);
  CHECK(connection.settled.cost == 13);
}

TEST_CASE("memory of what was sent is used again, as much as is kept") {
  Connection connection;
  const auto status = [&](std::size_t extents) {
    Reply reply = small(be<4>(1));
    reply.descriptors.resize(extents);
    reply.body_size = extents * sizeof(Extent);
    const void* memory = reply.descriptors.data();
    connection.outbox.push(std::move(reply), 0);
    connection.deliver();
    return memory;
  };
  CHECK(connection.pool.take_extents().capacity() == 0);
  const void* const memory = status(40'000);
  auto again = connection.pool.take_extents();
  CHECK(again.data() == memory);
  CHECK(connection.pool.take_extents().capacity() == 0);

  // 1 MiB is kept: of these two the first.
  status(40'000);
  status(40'000);
  CHECK(connection.pool.take_extents().capacity() != 0);
  CHECK(connection.pool.take_extents().capacity() == 0);
  status(40'000);
  connection.pool.clear();
  CHECK(connection.pool.take_extents().capacity() == 0);

  ExtentBuilder builder({0, 1024}, 9, std::move(again));
  builder.add(512, 7);
  CHECK(builder.extents() == std::vector<Extent>{{512, 7}});
  CHECK(builder.extents().data() == memory);
}

TEST_CASE("more pieces than fit into one write") {
  Connection connection;
  Bytes expected;
  for (unsigned i = 0; i < 5000; ++i) {
    connection.outbox.push(small(be<4>(i)), 0);
    expected = expected + be<4>(i);
  }
  CHECK(connection.deliver() == expected);
}

TEST_CASE("a reply counts as sent when its last byte is") {
  Connection connection;
  connection.outbox.push(with_data(be<4>(1), noise(1 << 20, 3), 0, 1 << 20), 7);
  CHECK(connection.outbox.send(connection.stream(), connection.settled).state ==
        State::kWait);
  CHECK(connection.settled.replies == 0);
  CHECK_FALSE(connection.outbox.empty());
  connection.deliver();
  CHECK(connection.settled.replies == 1);
  CHECK(connection.settled.cost == 7);
}

TEST_CASE("a file that is shorter than promised ends the connection") {
  Connection connection;
  const UniqueFd file = file_of(noise(10'000, 4));
  connection.outbox.push(from_file(be<4>(1), file.get(), 5000, 5001), 0);
  connection.deliver();
  CHECK(connection.last.state == State::kBroken);
  CHECK(connection.last.error == EIO);
  CHECK(connection.settled.replies == 0);
  connection.outbox.clear(connection.settled);
  CHECK(connection.settled.replies == 1);
  CHECK(connection.outbox.empty());
}

TEST_CASE("a client that is gone ends the connection") {
  Connection connection;
  connection.client = UniqueFd();
  connection.outbox.push(small(be<4>(1)), 0);
  CHECK(connection.outbox.send(connection.stream(), connection.settled).state ==
        State::kBroken);
}

TEST_CASE("buffers of what was sent are used again") {
  Connection connection;
  connection.outbox.push(with_data(be<4>(1), noise(5000, 5), 0, 5000), 0);
  connection.deliver();
  CHECK(connection.pool.take(5000).capacity() == 8192);
}

}  // namespace
}  // namespace blksnap::nbd
