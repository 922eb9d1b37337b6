// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/allow_list.h"

#include <doctest/doctest.h>

#include <cerrno>

namespace blksnap::nbd {
namespace {

Peer tcp(const std::string& address) {
  Peer peer;
  peer.address = boost::asio::ip::make_address(address);
  return peer;
}

bool admits(std::initializer_list<const char*> networks,
            const std::string& address) {
  AllowList list;
  for (const char* network : networks) {
    CAPTURE(network);
    REQUIRE(list.add_network(network).has_value());
  }
  return list.admits(tcp(address));
}

TEST_CASE("an empty list admits everyone") {
  const AllowList all;
  CHECK(all.admits(tcp("192.0.2.1")));
  CHECK(all.admits(tcp("2001:db8::1")));
  Peer peer;
  CHECK(all.admits(peer));
  peer.uid = 1000;
  CHECK(all.admits(peer));
}

TEST_CASE("networks, from their first address to their last") {
  for (const char* inside : {"10.8.0.0", "10.8.1.2", "10.15.255.255"})
    CHECK(admits({"10.8.0.0/13"}, inside));
  for (const char* outside : {"10.7.255.255", "10.16.0.0", "::"})
    CHECK_FALSE(admits({"10.8.0.0/13"}, outside));
  CHECK(admits({"10.9.8.7/13"}, "10.8.0.0"));
  CHECK(admits({"0.0.0.0/0"}, "255.255.255.255"));
  CHECK_FALSE(admits({"0.0.0.0/0"}, "::1"));

  for (const char* inside : {"fd00:1::", "fd00:1::1", "fd00:1:ffff:ffff::"})
    CHECK(admits({"fd00:1::/32"}, inside));
  for (const char* outside : {"fd00:2::", "fd00::ffff", "10.0.0.1"})
    CHECK_FALSE(admits({"fd00:1::/32"}, outside));
  CHECK(admits({"::/0"}, "fd00::1"));
}

// nbd-server compared addresses as text: 192.0.2.1 admitted 192.0.2.10.
TEST_CASE("CVE-2013-6410: an address is no beginning of others") {
  CHECK_FALSE(admits({"192.0.2.1"}, "192.0.2.10"));
  CHECK_FALSE(admits({"192.0.2.1/32"}, "192.0.2.199"));
  CHECK_FALSE(admits({"10.0.0.1"}, "10.0.0.100"));
  CHECK_FALSE(admits({"fd00::1"}, "fd00::10"));
}

TEST_CASE("one address, and one of several") {
  CHECK(admits({"192.0.2.1"}, "192.0.2.1"));
  CHECK_FALSE(admits({"192.0.2.1"}, "192.0.2.2"));
  CHECK(admits({"::1"}, "::1"));
  CHECK_FALSE(admits({"::1"}, "::2"));
  CHECK(admits({"::1", "192.0.2.0/30", "192.0.2.9/32"}, "192.0.2.9"));
  CHECK_FALSE(admits({"::1", "192.0.2.0/30"}, "192.0.2.9"));
}

TEST_CASE("IPv4 that shows as IPv6 is IPv4") {
  CHECK(admits({"127.0.0.0/8"}, "::ffff:127.0.0.1"));
  CHECK_FALSE(admits({"127.0.0.0/8"}, "::ffff:128.0.0.1"));
  CHECK(admits({"::ffff:10.0.0.0/104"}, "10.1.2.3"));
  CHECK(admits({"::ffff:10.0.0.0/104"}, "::ffff:10.1.2.3"));
  CHECK_FALSE(admits({"::ffff:10.0.0.0/104"}, "11.1.2.3"));
  CHECK(admits({"::ffff:10.0.0.1"}, "10.0.0.1"));
  // All of IPv6 is not all of IPv4.
  CHECK_FALSE(admits({"::/0"}, "::ffff:10.0.0.1"));
}

TEST_CASE("a link-local network is meant on every interface") {
  CHECK(admits({"fe80::/10"}, "fe80::1%1"));
  CHECK(admits({"fe80::1"}, "fe80::1%1"));
  CHECK_FALSE(admits({"fe80::1"}, "fe80::2%1"));
}

TEST_CASE("each kind of peer has its own list") {
  AllowList list;
  list.add_uid(1000);
  list.add_uid(0);
  list.add_cid(3);
  CHECK(list.admits(tcp("192.0.2.1")));
  Peer user, guest;
  user.uid = 0;
  CHECK(list.admits(user));
  user.uid = 1000;
  CHECK(list.admits(user));
  user.uid = 3;
  CHECK_FALSE(list.admits(user));
  guest.cid = 3;
  CHECK(list.admits(guest));
  guest.cid = 1000;
  CHECK_FALSE(list.admits(guest));
  // Whom the kernel does not know could be anyone.
  CHECK_FALSE(list.admits(Peer{}));
}

TEST_CASE("what is no network") {
  for (const char* text :
       {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8",
        "fd00::/129", "localhost", "10.0.0.0/8/8", "10.0.0.0 /8", "::1/x"}) {
    CAPTURE(text);
    AllowList list;
    const auto added = list.add_network(text);
    REQUIRE_FALSE(added.has_value());
    CHECK(added.error().code == EINVAL);
    CHECK(added.error().message.find("'" + std::string(text) + "'") == 0);
  }
}

}  // namespace
}  // namespace blksnap::nbd
