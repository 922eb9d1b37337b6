// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/listener.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>

#include "socket_client.h"

namespace blksnap::nbd {
namespace {

namespace fs = std::filesystem;

TEST_CASE("a Unix socket goes with its owner") {
  const TempSocket place;
  {
    const auto listener = listen_unix(place.path);
    REQUIRE(listener.has_value());
    CHECK(listener->uri() == "nbd+unix:///?socket=" + place.path);
    CHECK(place.connect());
  }
  CHECK_FALSE(fs::exists(place.path));
}

TEST_CASE("a socket that someone listens on is left alone") {
  const TempSocket place;
  const auto first = listen_unix(place.path);
  REQUIRE(first.has_value());
  const auto second = listen_unix(place.path);
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code == EADDRINUSE);
  CHECK(place.connect());
}

TEST_CASE("a stale socket is replaced") {
  const TempSocket place;
  {
    // What is left of a killed server: the file, and nobody behind it.
    auto killed = listen_unix(place.path);
    REQUIRE(killed.has_value());
    fs::rename(place.path, place.path + ".kept");
  }
  fs::rename(place.path + ".kept", place.path);
  REQUIRE(fs::is_socket(place.path));
  const auto listener = listen_unix(place.path);
  REQUIRE(listener.has_value());
  CHECK(place.connect());
}

TEST_CASE("what is no socket is never removed") {
  const TempSocket place;
  std::ofstream(place.path) << "precious";
  const auto listener = listen_unix(place.path);
  REQUIRE_FALSE(listener.has_value());
  CHECK(listener.error().code == EEXIST);
  CHECK(fs::file_size(place.path) == 8);
}

TEST_CASE("another one's socket of the same name is not removed") {
  const TempSocket place;
  std::optional<ListeningSocket> first;
  {
    auto made = listen_unix(place.path);
    REQUIRE(made.has_value());
    first.emplace(std::move(*made));
  }
  fs::remove(place.path);
  const auto second = listen_unix(place.path);
  REQUIRE(second.has_value());
  first.reset();
  CHECK(fs::is_socket(place.path));
}

TEST_CASE("paths that no socket can have") {
  CHECK(listen_unix("").error().code == EINVAL);
  CHECK(listen_unix(std::string(108, 'x')).error().code == EINVAL);
  CHECK(listen_unix("/nonexistent/socket").error().code == ENOENT);
}

TEST_CASE("URIs escape what would end them early") {
  TempSocket place;
  place.path = place.directory + "/a b&c?";
  const auto listener = listen_unix(place.path);
  REQUIRE(listener.has_value());
  CHECK(listener->uri() ==
        "nbd+unix:///?socket=" + place.directory + "/a%20b%26c%3F");
}

TEST_CASE("TCP: one address, all addresses, a port in use, no such address") {
  const auto one = listen_tcp("127.0.0.1", "0");
  REQUIRE(one.has_value());
  REQUIRE(one->size() == 1);
  const std::string uri = one->front().uri();
  CHECK(uri.starts_with("nbd://127.0.0.1:"));
  const std::string port = uri.substr(16, uri.size() - 17);

  const auto again = listen_tcp("127.0.0.1", port);
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().code == EADDRINUSE);
  CHECK(again.error().message == "listen on 127.0.0.1, port " + port +
                                     ": listen: Address already in use");

  const auto all = listen_tcp("", "0");
  REQUIRE(all.has_value());
  CHECK(all->size() >= 1);

  CHECK_FALSE(listen_tcp("no.such.host.invalid", "0").has_value());
  CHECK_FALSE(listen_tcp("127.0.0.1", "port").has_value());
}

}  // namespace
}  // namespace blksnap::nbd
