// SPDX-License-Identifier: LGPL-2.1-or-later
// Sockets to accept connections from. Plain file descriptors: made before a
// fork, or before anything expensive, so that a bad address is known early.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace blksnap::nbd {

// A bound and listening stream socket. A Unix one removes its file when
// destroyed, if that file is still the one it made. Movable, sole owner.
class ListeningSocket {
 public:
  ListeningSocket(UniqueFd fd, std::string uri)
      : fd_(std::move(fd)), uri_(std::move(uri)) {}
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket();

  int fd() const { return fd_.get(); }
  // What to hand to a client: "nbd+unix:///?socket=/run/a.sock",
  // "nbd://[::1]:10809/".
  const std::string& uri() const { return uri_; }

 private:
  friend Result<ListeningSocket> listen_unix(const std::string&);

  UniqueFd fd_;
  std::string uri_;
  std::string path_;  // of the socket file; "" where there is none
  dev_t device_ = 0;  // which file it was
  ino_t inode_ = 0;
};

// EADDRINUSE where someone listens at `path`, EEXIST where it is something
// else than a socket; a socket file that nobody listens on is replaced.
// Relative paths are made absolute for the URI.
Result<ListeningSocket> listen_unix(const std::string& path);

// All addresses that `host` stands for: "" is every interface, over IPv4 and
// IPv6 as far as the machine has them. `port` is a number or a service name;
// "0" has the kernel choose, per address.
Result<std::vector<ListeningSocket>> listen_tcp(const std::string& host,
                                                const std::string& port);

}  // namespace blksnap::nbd
