// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sockets.h"

#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace blksnap::server {
namespace {

constexpr char kDefaultPort[] = "10809";

Result<std::vector<nbd::ListeningSocket>> passed_sockets() {
  std::vector<nbd::ListeningSocket> sockets;
  const int count = ::sd_listen_fds(/*unset_environment=*/1);
  if (count < 0)
    return fail(-count, "socket activation: LISTEN_FDS, LISTEN_PID");
  // Owned from here on, whatever is wrong with one of them.
  std::vector<UniqueFd> passed;
  for (int i = 0; i < count; ++i) passed.emplace_back(SD_LISTEN_FDS_START + i);
  for (UniqueFd& fd : passed) {
    auto socket = nbd::adopt_listener(std::move(fd));
    if (!socket) return context("socket activation", socket.error());
    sockets.push_back(std::move(*socket));
  }
  return sockets;
}

Result<void> add_private_socket(Sockets& sockets, const Options& options) {
  auto directory = PrivateDirectory::make(options.identity);
  if (!directory) return directory.error();
  sockets.directory = std::move(*directory);
  nbd::SocketAccess access = options.unix_access;
  if (!access.owner) access.owner = options.identity.uid;
  auto socket = nbd::listen_unix(sockets.directory.path() + "/socket", access);
  if (!socket) return socket.error();
  sockets.list.push_back(std::move(*socket));
  return {};
}

}  // namespace

Result<PrivateDirectory> PrivateDirectory::make(const Identity& owner) {
  char path[] = "/tmp/blksnap-nbd-XXXXXX";
  if (::mkdtemp(path) == nullptr)
    return fail(errno, "make a directory for a private socket in /tmp");
  PrivateDirectory made;
  made.path_ = path;
  if (owner.uid && ::lchown(path, *owner.uid, -1) != 0)
    return fail(errno, std::string("change the owner of ") + path);
  return made;
}

PrivateDirectory::~PrivateDirectory() {
  if (!path_.empty() && ::rmdir(path_.c_str()) != 0)
    logger().debug("remove {}: {}", path_, std::strerror(errno));
}

Result<Sockets> open_sockets(const Options& options) {
  Sockets sockets;
  auto passed = passed_sockets();
  if (!passed) return passed.error();
  if (!passed->empty()) {
    if (options.asks_for_listener() || options.connected_fd)
      return refuse(EINVAL,
                    "sockets were passed by socket activation (LISTEN_FDS): "
                    "they exclude -U, -p, -i, --vsock, --fd and --single");
    sockets.list = std::move(*passed);
    return sockets;
  }
  if (options.connected_fd) return sockets;

  const bool private_one =
      options.unix_path == "-" ||
      (!options.command.empty() && !options.asks_for_listener());
  if (private_one) {
    if (auto added = add_private_socket(sockets, options); !added)
      return added.error();
  } else if (!options.unix_path.empty()) {
    auto socket = nbd::listen_unix(options.unix_path, options.unix_access);
    if (!socket) return socket.error();
    sockets.list.push_back(std::move(*socket));
  }
  const std::string port = options.port.empty() ? kDefaultPort : options.port;
  if (options.vsock) {
    auto socket = nbd::listen_vsock(port);
    if (!socket) return socket.error();
    sockets.list.push_back(std::move(*socket));
  } else if (sockets.list.empty() || !options.port.empty() ||
             !options.address.empty()) {
    // TCP is the default, and what asking for an address or a port adds to -U.
    auto more = nbd::listen_tcp(options.address, port);
    if (!more) return more.error();
    for (auto& socket : *more) sockets.list.push_back(std::move(socket));
  }
  return sockets;
}

}  // namespace blksnap::server
