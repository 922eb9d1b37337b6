// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// After sys/socket.h, which it needs and does not include.
#include <linux/vm_sockets.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "base/format.h"
#include "base/log.h"
#include "nbd/peer.h"

namespace blksnap::nbd {

namespace {

// Connections that wait for accept(); the kernel caps it at somaxconn.
constexpr int kBacklog = SOMAXCONN;

UniqueFd stream_socket(int family) {
  return UniqueFd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// Is there a server behind this socket file? Told by connecting: nothing else
// tells a stale file from a live one.
bool someone_listens(const sockaddr_un& address) {
  const UniqueFd probe = stream_socket(AF_UNIX);
  return probe &&
         (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
                    sizeof address) == 0 ||
          errno == EAGAIN);
}

std::string unix_path(const sockaddr_un& address, socklen_t length) {
  const std::size_t start = offsetof(sockaddr_un, sun_path);
  if (length <= start) return {};
  const std::string_view path(address.sun_path, length - start);
  if (path.front() == '\0') return "@" + std::string(path.substr(1));
  return std::string(path.substr(0, path.find('\0')));
}

// Of a bound socket. EAFNOSUPPORT where NBD has no way of naming it.
Result<Endpoint> endpoint_of(int fd) {
  union {
    sockaddr generic;
    sockaddr_un path;
    sockaddr_vm vm;
    sockaddr_storage any;
  } address{};
  socklen_t length = sizeof address;
  if (::getsockname(fd, &address.generic, &length) != 0)
    return fail(errno, "getsockname");
  Endpoint endpoint;
  endpoint.family = address.generic.sa_family;
  switch (endpoint.family) {
    case AF_UNIX:
      endpoint.path = unix_path(address.path, length);
      return endpoint;
    case AF_VSOCK:
      endpoint.port = std::to_string(address.vm.svm_port);
      return endpoint;
    case AF_INET:
    case AF_INET6:
      break;
    default:
      return fail(EAFNOSUPPORT,
                  "an address of family " + std::to_string(endpoint.family));
  }
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (const int error =
          ::getnameinfo(&address.generic, length, host, sizeof host, port,
                        sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
    return refuse(EINVAL, ::gai_strerror(error));
  endpoint.host = host;
  endpoint.port = port;
  return endpoint;
}

Result<UniqueFd> listen_on(const addrinfo& where) {
  UniqueFd fd = stream_socket(where.ai_family);
  if (!fd) return fail(errno, "create a socket");
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // One socket an address family, as IPv4 gets its own.
  if (where.ai_family == AF_INET6)
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(fd.get(), where.ai_addr, where.ai_addrlen) != 0 ||
      ::listen(fd.get(), kBacklog) != 0)
    return fail(errno, "listen");
  return fd;
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

// A socket file that nobody listens on goes; anything else is in the way.
Result<void> make_way(const std::string& path, const sockaddr_un& address) {
  struct stat there;
  if (::lstat(path.c_str(), &there) != 0) return {};
  if (!S_ISSOCK(there.st_mode))
    return refuse(EEXIST, "the file exists and is no socket");
  if (someone_listens(address))
    return refuse(EADDRINUSE, "another server listens there");
  if (::unlink(path.c_str()) != 0)
    return fail(errno, "remove the stale socket");
  return {};
}

// Returns 0 or errno. A new socket file has the mode of its socket, less the
// umask; so there is no moment with another mode, nor a chmod() that could be
// led to another file.
int bind_with_mode(int fd, const sockaddr_un& address,
                   std::optional<mode_t> mode) {
  if (mode && ::fchmod(fd, *mode) != 0) return errno;
  const mode_t mask = mode ? ::umask(0) : 0;
  const int code = ::bind(fd, reinterpret_cast<const sockaddr*>(&address),
                          sizeof address) == 0
                       ? 0
                       : errno;
  if (mode) ::umask(mask);
  return code;
}

}  // namespace

std::string Endpoint::uri(std::string_view export_name, bool tls) const {
  const std::string scheme = tls ? "nbds" : "nbd";
  const std::string name = "/" + percent_encoded(export_name);
  if (family == AF_UNIX)
    return scheme + "+unix://" + name + "?socket=" + percent_encoded(path);
  // It listens on every context id, so there is no saying by which one the
  // client knows this machine: 1 is the machine itself.
  if (family == AF_VSOCK) return scheme + "+vsock://1:" + port + name;
  const bool v6 = family == AF_INET6;
  return scheme + "://" + (v6 ? "[" + host + "]" : host) + ":" + port + name;
}

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : fd_(std::move(other.fd_)),
      endpoint_(std::move(other.endpoint_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

void ListeningSocket::remember_file() {
  struct stat made;
  if (::lstat(endpoint_.path.c_str(), &made) != 0) return;
  path_ = endpoint_.path;
  device_ = made.st_dev;
  inode_ = made.st_ino;
}

ListeningSocket::~ListeningSocket() {
  if (path_.empty()) return;
  struct stat now;
  if (::lstat(path_.c_str(), &now) == 0) {
    const bool ours = now.st_dev == device_ && now.st_ino == inode_;
    if (!ours || ::unlink(path_.c_str()) == 0) return;
  } else if (errno == ENOENT) {
    return;
  }
  // As after giving up the privileges that made it. The next server replaces
  // a socket that nobody listens on.
  logger().debug("remove {}: {}", path_, std::strerror(errno));
}

Result<ListeningSocket> listen_unix(const std::string& path,
                                    const SocketAccess& access) {
  const std::string where = "listen on " + path;
  if (path.empty() || path.size() >= sizeof sockaddr_un::sun_path)
    return refuse(EINVAL, where + ": a socket's path has 1 to " +
                              std::to_string(sizeof sockaddr_un::sun_path - 1) +
                              " bytes");
  const sockaddr_un address = unix_address(path);
  if (auto free = make_way(path, address); !free)
    return context(where, free.error());

  UniqueFd fd = stream_socket(AF_UNIX);
  if (!fd) return fail(errno, where);
  if (const int code = bind_with_mode(fd.get(), address, access.mode))
    return fail(code, where);

  Endpoint endpoint;
  endpoint.family = AF_UNIX;
  std::error_code ignored;
  endpoint.path = std::filesystem::absolute(path, ignored).string();
  if (endpoint.path.empty()) endpoint.path = path;
  ListeningSocket made(std::move(fd), std::move(endpoint));
  made.remember_file();
  if ((access.owner || access.group) &&
      ::lchown(path.c_str(), access.owner.value_or(-1),
               access.group.value_or(-1)) != 0)
    return fail(errno, where + ": change its owner");
  // Until here, nobody could connect.
  if (::listen(made.fd(), kBacklog) != 0) return fail(errno, where);
  return made;
}

namespace {

// getaddrinfo(3) takes the last 16 bits of larger numbers, and of negative
// ones.
bool is_port(std::string_view text) {
  const bool is_name = std::any_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
  std::uint16_t number = 0;
  const auto [rest, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  return is_name || (error == std::errc{} && rest == text.data() + text.size());
}

}  // namespace

Result<std::vector<ListeningSocket>> listen_tcp(const std::string& host,
                                                const std::string& port) {
  const std::string where =
      "listen on " + (host.empty() ? "port " : host + ", port ") + port;
  if (!is_port(port))
    return refuse(EINVAL, where + ": want a number up to 65535, or the name " +
                              "of a service");
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(),
                                      port.c_str(), &hints, &list))
    return refuse(EINVAL, where + ": " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(
      list, &::freeaddrinfo);

  std::vector<ListeningSocket> sockets;
  std::optional<Error> not_here;
  for (const addrinfo* at = list; at; at = at->ai_next) {
    auto fd = listen_on(*at);
    if (fd) {
      auto endpoint = endpoint_of(fd->get());
      if (!endpoint) return context(where, endpoint.error());
      sockets.emplace_back(std::move(*fd), std::move(*endpoint));
    } else {
      // A machine without IPv6 is no reason to stay away from IPv4; an
      // address in use is one.
      const int code = fd.error().code;
      not_here = context(where, fd.error());
      if (code != EAFNOSUPPORT && code != EADDRNOTAVAIL) return *not_here;
    }
  }
  if (sockets.empty())
    return not_here.value_or(refuse(EADDRNOTAVAIL, where + ": no address"));
  return sockets;
}

Result<ListeningSocket> listen_vsock(const std::string& port) {
  const std::string where = "listen on vsock port " + port;
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = VMADDR_CID_ANY;
  const char* const end = port.data() + port.size();
  const auto [rest, error] =
      std::from_chars(port.data(), end, address.svm_port);
  if (error != std::errc{} || rest != end)
    return refuse(EINVAL, where + ": want a number of 32 bits");
  if (address.svm_port == 0) address.svm_port = VMADDR_PORT_ANY;

  UniqueFd fd = stream_socket(AF_VSOCK);
  if (!fd ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
             sizeof address) != 0 ||
      ::listen(fd.get(), kBacklog) != 0)
    return fail(errno, where);
  auto endpoint = endpoint_of(fd.get());
  if (!endpoint) return context(where, endpoint.error());
  return ListeningSocket(std::move(fd), std::move(*endpoint));
}

Result<ListeningSocket> adopt_listener(UniqueFd fd) {
  const std::string where = "descriptor " + std::to_string(fd.get());
  const int type = socket_option(fd.get(), SO_TYPE);
  if (type < 0) return fail(errno, where);
  if (type != SOCK_STREAM || socket_option(fd.get(), SO_ACCEPTCONN) != 1)
    return refuse(EINVAL, where + ": not a stream socket that listens");
  auto endpoint = endpoint_of(fd.get());
  if (!endpoint) return context(where, endpoint.error());
  return ListeningSocket(std::move(fd), std::move(*endpoint));
}

}  // namespace blksnap::nbd
