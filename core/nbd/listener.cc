// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

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

std::string percent_encoded(const std::string& path) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || std::strchr("/-._~+,:@", c)) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::string tcp_uri(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      ::getnameinfo(reinterpret_cast<sockaddr*>(&address), length, host,
                    sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "nbd://";
  if (address.ss_family == AF_INET6)
    return "nbd://[" + std::string(host) + "]:" + port + "/";
  return "nbd://" + std::string(host) + ":" + port + "/";
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

}  // namespace

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : fd_(std::move(other.fd_)),
      uri_(std::move(other.uri_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

ListeningSocket::~ListeningSocket() {
  struct stat now;
  if (!path_.empty() && ::lstat(path_.c_str(), &now) == 0 &&
      now.st_dev == device_ && now.st_ino == inode_)
    ::unlink(path_.c_str());
}

Result<ListeningSocket> listen_unix(const std::string& path) {
  const std::string where = "listen on " + path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return refuse(EINVAL, where + ": a socket's path has 1 to " +
                              std::to_string(sizeof address.sun_path - 1) +
                              " bytes");
  std::memcpy(address.sun_path, path.data(), path.size());

  struct stat there;
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode))
      return refuse(EEXIST, where + ": the file exists and is no socket");
    if (someone_listens(address))
      return refuse(EADDRINUSE, where + ": another server listens there");
    if (::unlink(path.c_str()) != 0)
      return fail(errno, where + ": remove the stale socket");
  }

  UniqueFd fd = stream_socket(AF_UNIX);
  if (!fd ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
             sizeof address) != 0 ||
      ::listen(fd.get(), kBacklog) != 0)
    return fail(errno, where);

  std::error_code ignored;
  std::string absolute = std::filesystem::absolute(path, ignored).string();
  if (absolute.empty()) absolute = path;
  ListeningSocket result(std::move(fd),
                         "nbd+unix:///?socket=" + percent_encoded(absolute));
  if (struct stat made; ::lstat(path.c_str(), &made) == 0) {
    result.path_ = std::move(absolute);
    result.device_ = made.st_dev;
    result.inode_ = made.st_ino;
  }
  return result;
}

Result<std::vector<ListeningSocket>> listen_tcp(const std::string& host,
                                                const std::string& port) {
  const std::string where =
      "listen on " + (host.empty() ? "port " : host + ", port ") + port;
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
      const int raw = fd->get();
      sockets.emplace_back(std::move(fd.value()), tcp_uri(raw));
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

}  // namespace blksnap::nbd
