// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/allow_list.h"

#include <algorithm>
#include <cerrno>

namespace blksnap::nbd {
namespace {

namespace ip = boost::asio::ip;

// Of the 128 bits of "::ffff:0.0.0.0/96".
constexpr unsigned short kMappedPrefix = 96;

bool within(const ip::address_v4& address, const ip::network_v4& network) {
  return ip::network_v4(address, network.prefix_length()).canonical() ==
         network.canonical();
}

// A network that names no interface ("fe80::1%eth0") is meant on all of them.
bool within(ip::address_v6 address, const ip::network_v6& network) {
  if (network.address().scope_id() == 0) address.scope_id(0);
  return ip::network_v6(address, network.prefix_length()).canonical() ==
         network.canonical();
}

template <class Address, class Networks>
bool within_any(const Address& address, const Networks& networks) {
  return std::any_of(networks.begin(), networks.end(),
                     [&](const auto& one) { return within(address, one); });
}

template <class List, class Value>
bool contains(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

Result<void> AllowList::add_network(const std::string& text) {
  boost::system::error_code ec;
  if (text.find('/') == text.npos) {
    const auto address = ip::make_address(text, ec);
    if (!ec) {
      return add_network(text + (address.is_v4() ? "/32" : "/128"));
    }
  }
  if (const auto v4 = ip::make_network_v4(text, ec); !ec) {
    v4_.push_back(v4);
    return {};
  }
  const auto v6 = ip::make_network_v6(text, ec);
  if (ec)
    return refuse(EINVAL, "'" + text +
                              "' is no address and no network: want "
                              "10.0.0.0/8, fd00::/8 or the like");
  if (v6.address().is_v4_mapped() && v6.prefix_length() >= kMappedPrefix) {
    v4_.emplace_back(ip::make_address_v4(ip::v4_mapped, v6.address()),
                     v6.prefix_length() - kMappedPrefix);
  } else {
    v6_.push_back(v6);
  }
  return {};
}

bool AllowList::admits(const Peer& peer) const {
  if (peer.address) return admits_address(*peer.address);
  if (peer.uid) return uids_.empty() || contains(uids_, *peer.uid);
  if (peer.cid) return cids_.empty() || contains(cids_, *peer.cid);
  return v4_.empty() && v6_.empty() && uids_.empty() && cids_.empty();
}

bool AllowList::admits_address(ip::address address) const {
  if (v4_.empty() && v6_.empty()) return true;
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = ip::make_address_v4(ip::v4_mapped, address.to_v6());
  return address.is_v4() ? within_any(address.to_v4(), v4_)
                         : within_any(address.to_v6(), v6_);
}

}  // namespace blksnap::nbd
