// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/peer.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

// After sys/socket.h, which it needs and does not include.
#include <linux/vm_sockets.h>

#include <cstring>

namespace blksnap::nbd {
namespace {

namespace ip = boost::asio::ip;

template <class Address>
Address as(const sockaddr_storage& storage) {
  Address address;
  std::memcpy(&address, &storage, sizeof address);
  return address;
}

ip::address ip_address(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    const auto in = as<sockaddr_in>(storage);
    return ip::address_v4(ntohl(in.sin_addr.s_addr));
  }
  const auto in6 = as<sockaddr_in6>(storage);
  ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &in6.sin6_addr, bytes.size());
  return ip::address_v6(bytes, in6.sin6_scope_id);
}

Peer unix_peer(int fd) {
  Peer peer;
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
    return peer;
  peer.uid = credentials.uid;
  peer.name = "uid " + std::to_string(credentials.uid) + " pid " +
              std::to_string(credentials.pid);
  return peer;
}

}  // namespace

Peer peer_of(int fd) {
  Peer peer;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    return peer;
  switch (address.ss_family) {
    case AF_UNIX:
      return unix_peer(fd);
    case AF_VSOCK: {
      const auto vm = as<sockaddr_vm>(address);
      peer.cid = vm.svm_cid;
      peer.name = "vsock cid " + std::to_string(vm.svm_cid) + " port " +
                  std::to_string(vm.svm_port);
      return peer;
    }
    case AF_INET:
    case AF_INET6:
      break;
    default:
      return peer;
  }
  peer.address = ip_address(address);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getnameinfo(reinterpret_cast<sockaddr*>(&address), length, host,
                    sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
    peer.name = std::string(host) + " port " + port;
  return peer;
}

int socket_option(int fd, int option) {
  int value = -1;
  socklen_t length = sizeof value;
  ::getsockopt(fd, SOL_SOCKET, option, &value, &length);
  return value;
}

}  // namespace blksnap::nbd
