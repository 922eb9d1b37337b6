// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/tls.h"

#include <doctest/doctest.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <memory>

#include "base/fd.h"
#include "socket_client.h"

namespace blksnap::nbd {
namespace {

constexpr unsigned char kKey[16] = {1, 2, 3, 4, 5, 6, 7, 8};
constexpr char kKeyInHex[] = "01020304050607080000000000000000";

template <auto kFree>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};

// OpenSSL's own client, with TLS 1.3, on a socket that does not block.
class Client {
 public:
  explicit Client(int fd)
      : context_(SSL_CTX_new(TLS_client_method())),
        ssl_(SSL_new(context_.get())) {
    REQUIRE(SSL_set_fd(ssl_.get(), fd) == 1);
    SSL_set_min_proto_version(ssl_.get(), TLS1_3_VERSION);
    SSL_set_connect_state(ssl_.get());
    SSL_set_psk_client_callback(
        ssl_.get(), [](SSL*, const char*, char* user, unsigned,
                       unsigned char* key, unsigned) {
          std::copy_n("alice", 6, user);
          std::copy(std::begin(kKey), std::end(kKey), key);
          return static_cast<unsigned>(sizeof(kKey));
        });
    SSL_set_msg_callback_arg(ssl_.get(), &updates_);
    SSL_set_msg_callback(
        ssl_.get(), [](int sent, int, int type, const void* data,
                       std::size_t length, SSL*, void* updates) {
          const auto* bytes = static_cast<const unsigned char*>(data);
          if (!sent && type == SSL3_RT_HANDSHAKE && length > 0 &&
              bytes[0] == SSL3_MT_KEY_UPDATE)
            ++*static_cast<int*>(updates);
        });
  }

  bool handshake() { return SSL_do_handshake(ssl_.get()) == 1; }

  // What there is, up to `most` bytes.
  std::size_t read(std::byte* into, std::size_t most) {
    std::size_t bytes = 0;
    const int result = SSL_read_ex(ssl_.get(), into, most, &bytes);
    if (result != 1)
      REQUIRE(SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ);
    return bytes;
  }

  // KeyUpdate messages of the server (RFC 8446, section 4.6.3).
  int updates() const { return updates_; }

 private:
  int updates_ = 0;
  std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>> context_;
  std::unique_ptr<SSL, Deleter<SSL_free>> ssl_;
};

}  // namespace

TEST_CASE("tls: new keys after so many bytes, though the client is slow") {
  const TempSocket temp;
  const std::string keys = temp.directory + "/keys.psk";
  std::ofstream(keys) << "alice:" << kKeyInHex << "\n";
  const auto credentials = TlsCredentials::from_psk_file(keys);
  REQUIRE(credentials.has_value());
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                       fds) == 0);
  const UniqueFd ours(fds[0]), theirs(fds[1]);
  constexpr std::uint64_t kBytesPerKey = 64 * 1024;
  constexpr std::size_t kWritten = 48 * 1024;
  Tls server(*credentials, ours.get(), kBytesPerKey);
  Client client(theirs.get());
  for (bool in = false, out = false; !in || !out;) {
    in = client.handshake();
    const auto state = server.handshake();
    REQUIRE(state != Tls::State::kBroken);
    out = state == Tls::State::kDone;
  }

  std::vector<std::byte> data(96 * kWritten), got(data.size());
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<std::byte>(i * 7 + i / 1000);
  std::size_t sent = 0, received = 0;
  int waits = 0;
  while (received < data.size()) {
    while (sent < data.size()) {
      // OpenSSL sends all of what it has begun to wait with.
      const auto wrote = server.write(
          std::span(data).subspan(sent, kWritten - sent % kWritten));
      REQUIRE_MESSAGE(wrote.state != Tls::State::kBroken, server.error());
      if (wrote.state == Tls::State::kWantWrite) {
        ++waits;
        break;
      }
      sent += wrote.bytes;
    }
    // So little that the server waits again before a key's bytes are sent.
    received +=
        client.read(got.data() + received,
                    std::min<std::size_t>(5000, data.size() - received));
  }
  CHECK((got == data));
  CHECK(waits > 100);
  CHECK(client.updates() >=
        static_cast<int>(data.size() / (kBytesPerKey + kWritten)));
  CHECK(client.updates() <= static_cast<int>(data.size() / kBytesPerKey));
}

}  // namespace blksnap::nbd
