// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "nbd/peer.h"

namespace blksnap::nbd {

// Which peers may connect, by what the kernel says of them. Each kind of
// socket has a list of its own: TCP peers are looked up among the networks,
// Unix ones among the user ids, vsock ones among the context ids. An empty
// list admits everyone of its kind.
class AllowList {
 public:
  // "10.0.0.0/8", "fd00::/8", or one address. Bits behind the prefix do not
  // matter. IPv4 in IPv6's clothes ("::ffff:10.0.0.0/104") is IPv4, here and
  // in peers: a socket for both shows IPv4 peers so. EINVAL for anything else.
  Result<void> add_network(const std::string& text);
  void add_uid(uid_t uid) { uids_.push_back(uid); }
  void add_cid(std::uint32_t cid) { cids_.push_back(cid); }

  // A peer that the kernel does not know is admitted by no list but empty
  // ones. Any thread, once all is added.
  bool admits(const Peer& peer) const;

 private:
  bool admits_address(boost::asio::ip::address address) const;

  std::vector<boost::asio::ip::network_v4> v4_;
  std::vector<boost::asio::ip::network_v6> v6_;
  std::vector<uid_t> uids_;
  std::vector<std::uint32_t> cids_;
};

}  // namespace blksnap::nbd
