// SPDX-License-Identifier: LGPL-2.1-or-later
// Sockets to accept connections from. Plain file descriptors: made before a
// fork, or before anything expensive, so that a bad address is known early.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace blksnap::nbd {

// Where a socket listens, as clients have to spell it.
struct Endpoint {
  int family = 0;    // AF_UNIX, AF_INET, AF_INET6, AF_VSOCK
  std::string path;  // Unix: absolute; "@NAME" is an abstract one
  std::string host;  // TCP: the address in numbers
  std::string port;  // TCP and vsock

  // "nbd+unix:///?socket=/run/a.sock", "nbd://[::1]:10809/vdb"; with TLS
  // "nbds+unix://...".
  std::string uri(std::string_view export_name = {}, bool tls = false) const;
};

// Who may connect to a Unix socket: those who may write to its file. What is
// not set is as for any new file.
struct SocketAccess {
  std::optional<mode_t> mode;  // just so: the umask takes nothing from it
  std::optional<uid_t> owner;
  std::optional<gid_t> group;
};

// A bound and listening stream socket. A Unix one removes its file when
// destroyed, if that file is still the one it made. Movable, sole owner.
class ListeningSocket {
 public:
  ListeningSocket(UniqueFd fd, Endpoint endpoint)
      : fd_(std::move(fd)), endpoint_(std::move(endpoint)) {}
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket();

  int fd() const { return fd_.get(); }
  const Endpoint& endpoint() const { return endpoint_; }
  std::string uri() const { return endpoint_.uri(); }

 private:
  friend Result<ListeningSocket> listen_unix(const std::string&,
                                             const SocketAccess&);
  void remember_file();

  UniqueFd fd_;
  Endpoint endpoint_;
  std::string path_;  // of the socket file; "" where there is none to remove
  dev_t device_ = 0;  // which file it was
  ino_t inode_ = 0;
};

// EADDRINUSE where someone listens at `path`, EEXIST where it is something
// else than a socket; a socket file that nobody listens on is replaced.
// Relative paths are made absolute for the URI.
//
// Nobody can connect before the file is as `access` says. With a mode it sets
// the umask for a moment, which is the process's: no other thread may be
// making files then.
Result<ListeningSocket> listen_unix(const std::string& path,
                                    const SocketAccess& access = {});

// All addresses that `host` stands for: "" is every interface, over IPv4 and
// IPv6 as far as the machine has them. `port` is a number or a service name;
// "0" has the kernel choose, per address.
Result<std::vector<ListeningSocket>> listen_tcp(const std::string& host,
                                                const std::string& port);

// On every context id of this machine. `port` is a number of 32 bits; "0" has
// the kernel choose.
Result<ListeningSocket> listen_vsock(const std::string& port);

// A socket that someone else made and listens on already (socket activation):
// EINVAL where `fd` is something else. A socket file stays when this goes.
Result<ListeningSocket> adopt_listener(UniqueFd fd);

}  // namespace blksnap::nbd
