// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <boost/asio/ip/address.hpp>
#include <cstdint>
#include <optional>
#include <string>

namespace blksnap::nbd {

// Who is at the other end of a connected socket, as far as the kernel vouches
// for it. One of the three is set, or none where the kernel does not know (the
// peer may have gone already).
struct Peer {
  std::string name = "unknown";                     // for log lines
  std::optional<boost::asio::ip::address> address;  // TCP
  std::optional<uid_t> uid;                         // Unix: at connect()
  std::optional<std::uint32_t> cid;                 // vsock
};

// Any thread; does not block.
Peer peer_of(int fd);

// An option of level SOL_SOCKET; -1 with errno where there is no answer.
int socket_option(int fd, int option);

}  // namespace blksnap::nbd
