// SPDX-License-Identifier: LGPL-2.1-or-later
// A client on a real socket, with hands for everything a real client keeps to
// itself. Blocks, but never longer than 20 s.
#pragma once

#include <doctest/doctest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "base/fd.h"
#include "bytes.h"

namespace blksnap::nbd {

// A path for a socket, in a directory that goes away.
struct TempSocket {
  TempSocket() {
    char name[] = "/tmp/blksnap-nbd-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    directory = name;
    path = directory + "/socket";
  }
  ~TempSocket() { std::filesystem::remove_all(directory); }

  UniqueFd connect() const {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                      sizeof address) == 0);
    return fd;
  }

  std::string directory, path;
};

// A chunk of a structured reply, taken apart.
struct Chunk {
  std::uint64_t flags = 0, type = 0, cookie = 0;
  std::uint64_t error = 0;  // of an error chunk
  Bytes data;               // of a data chunk, or the payload of others
};

class SocketClient {
 public:
  explicit SocketClient(UniqueFd fd) : fd_(std::move(fd)) {
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }

  void send(const Bytes& bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::send(fd_.get(), bytes.data() + done,
                               bytes.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return;  // the server has hung up, as some tests want it to
      done += static_cast<std::size_t>(n);
    }
  }
  Taker receive(std::size_t count) {
    Bytes bytes(count);
    REQUIRE(::recv(fd_.get(), bytes.data(), count, MSG_WAITALL) ==
            static_cast<ssize_t>(count));
    return Taker(std::move(bytes));
  }
  // Has the server closed the connection, with nothing left to read?
  bool at_end() {
    std::byte byte;
    const ssize_t n = ::recv(fd_.get(), &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }
  bool readable(std::chrono::milliseconds within) {
    pollfd wait{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&wait, 1, static_cast<int>(within.count())) == 1;
  }

  // Structured replies, base:allocation, the default export.
  void handshake() {
    const Bytes queries = counted("") + be<4>(1) + counted("base:allocation");
    const Bytes go = counted("") + be<2>(0);
    receive(18);
    send(be<4>(3));
    send(text("IHAVEOPT") + be<4>(8) + be<4>(0));
    receive(20);
    send(text("IHAVEOPT") + be<4>(10) + be<4>(queries.size()) + queries);
    receive(20 + 4 + std::strlen("base:allocation") + 20);
    send(text("IHAVEOPT") + be<4>(7) + be<4>(go.size()) + go);
    receive(20 + 12 + 20);
  }

  void ask(std::uint16_t type, std::uint64_t cookie, std::uint64_t offset,
           std::uint32_t length, std::uint16_t flags = 0,
           const Bytes& payload = {}) {
    send(be<4>(0x25609513) + be<2>(flags) + be<2>(type) + be<8>(cookie) +
         be<8>(offset) + be<4>(length) + payload);
  }

  Chunk reply() {
    Taker header = receive(20);
    Chunk chunk;
    CHECK(header.number(4) == 0x668e33ef);
    chunk.flags = header.number(2);
    chunk.type = header.number(2);
    chunk.cookie = header.number(8);
    const std::uint64_t length = header.number(4);
    if (length == 0) return chunk;
    Taker payload = receive(length);
    if (chunk.type == NBD_REPLY_TYPE_ERROR) {
      chunk.error = payload.number(4);
    } else if (chunk.type == NBD_REPLY_TYPE_OFFSET_DATA) {
      payload.number(8);
    }
    chunk.data = text(payload.string(payload.left()));
    return chunk;
  }

 private:
  UniqueFd fd_;
};

}  // namespace blksnap::nbd
