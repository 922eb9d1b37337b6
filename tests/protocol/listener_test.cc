// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/listener.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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
  for (const char* none :
       {"65536", "99999", "4294967297", "-1", "+5", " 5", ""})
    CHECK(listen_tcp("127.0.0.1", none).error().code == EINVAL);
}

struct stat status_of(const std::string& path) {
  struct stat found {};
  REQUIRE(::lstat(path.c_str(), &found) == 0);
  return found;
}

TEST_CASE("a Unix socket has the mode that was asked for, whatever the umask") {
  const mode_t umask_before = ::umask(027);
  for (const mode_t mode : {0600u, 0666u, 0777u, 0u}) {
    const TempSocket place;
    SocketAccess access;
    access.mode = mode;
    const auto listener = listen_unix(place.path, access);
    REQUIRE(listener.has_value());
    CHECK((status_of(place.path).st_mode & 07777) == mode);
    // And the umask is what it was.
    CHECK(::umask(027) == 027);
  }
  const TempSocket place;
  const auto listener = listen_unix(place.path);
  REQUIRE(listener.has_value());
  CHECK((status_of(place.path).st_mode & 07777) == 0750);
  ::umask(umask_before);
}

TEST_CASE("a Unix socket has the owner that was asked for") {
  if (::geteuid() != 0) return;  // nobody else can give files away
  const TempSocket place;
  SocketAccess access;
  access.owner = 12345;
  access.group = 54321;
  {
    const auto listener = listen_unix(place.path, access);
    REQUIRE(listener.has_value());
    CHECK(status_of(place.path).st_uid == 12345);
    CHECK(status_of(place.path).st_gid == 54321);
  }
  CHECK_FALSE(fs::exists(place.path));
}

TEST_CASE("a socket that cannot be given to its owner is not left behind") {
  if (::geteuid() == 0) return;
  const TempSocket place;
  SocketAccess access;
  access.owner = 0;
  const auto listener = listen_unix(place.path, access);
  REQUIRE_FALSE(listener.has_value());
  CHECK(listener.error().code == EPERM);
  CHECK_FALSE(fs::exists(place.path));
}

TEST_CASE("URIs name the export that they are asked for") {
  Endpoint endpoint;
  endpoint.family = AF_UNIX;
  endpoint.path = "/run/a b";
  CHECK(endpoint.uri() == "nbd+unix:///?socket=/run/a%20b");
  CHECK(endpoint.uri("vdb@x+changed?") ==
        "nbd+unix:///vdb@x+changed%3F?socket=/run/a%20b");
  endpoint.family = AF_INET6;
  endpoint.host = "::1";
  endpoint.port = "10809";
  CHECK(endpoint.uri("vdb") == "nbd://[::1]:10809/vdb");
  endpoint.family = AF_VSOCK;
  CHECK(endpoint.uri() == "nbd+vsock://1:10809/");
}

TEST_CASE("vsock: a port of the kernel's choice, and what is no port") {
  for (const char* text : {"", "x", "1x", "4294967296", "-1", " 1"}) {
    CAPTURE(text);
    CHECK(listen_vsock(text).error().code == EINVAL);
  }
  const auto listener = listen_vsock("0");
  if (!listener) {  // a kernel without it, or a container that may not
    MESSAGE("no vsock here: " << listener.error().message);
    return;
  }
  CHECK(listener->uri().starts_with("nbd+vsock://1:"));
  const auto again = listen_vsock(listener->endpoint().port);
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().code == EADDRINUSE);
}

TEST_CASE("a socket of someone else is adopted, and its file stays") {
  const TempSocket place;
  auto made = listen_unix(place.path);
  REQUIRE(made.has_value());
  {
    const auto adopted = adopt_listener(UniqueFd(::dup(made->fd())));
    REQUIRE(adopted.has_value());
    CHECK(adopted->uri() == made->uri());
  }
  CHECK(fs::exists(place.path));

  const auto tcp = listen_tcp("::1", "0");
  if (tcp) {
    const auto adopted = adopt_listener(UniqueFd(::dup(tcp->front().fd())));
    REQUIRE(adopted.has_value());
    CHECK(adopted->uri() == tcp->front().uri());
  }
}

TEST_CASE("what does not listen is not adopted") {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const UniqueFd other(ends[1]);
  CHECK(adopt_listener(UniqueFd(ends[0])).error().code == EINVAL);
  CHECK(adopt_listener(UniqueFd(::socket(AF_INET, SOCK_STREAM, 0)))
            .error()
            .code == EINVAL);
  CHECK(
      adopt_listener(UniqueFd(::socket(AF_INET, SOCK_DGRAM, 0))).error().code ==
      EINVAL);
  CHECK(adopt_listener(UniqueFd(::open("/dev/null", O_RDWR))).error().code ==
        ENOTSOCK);
  CHECK(adopt_listener(UniqueFd()).error().code == EBADF);
}

}  // namespace
}  // namespace blksnap::nbd
