// SPDX-License-Identifier: LGPL-2.1-or-later
// TLS by OpenSSL: who the server is, whom it lets in, and one connection's
// encryption. Used by Stream; the handshake (nbd/handshake.h) decides when.
#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace blksnap::nbd {

// What a server brings to TLS handshakes: a certificate, or pre-shared keys.
// Immutable: shared by all connections, on any thread.
class TlsCredentials {
 public:
  // Certificates in a directory, by the names that nbdkit, QEMU and libvirt
  // use: server-cert.pem and server-key.pem; ca-cert.pem, and ca-crl.pem if it
  // is there, to verify clients with.
  struct X509 {
    std::string directory;
    // Let in only clients with a certificate that ca-cert.pem vouches for.
    bool verify_peer = false;
    // And of these, unless empty, only those with one of these distinguished
    // names, written as RFC 4514 has it ("CN=backup,O=Example"), as a whole.
    // Only with verify_peer.
    std::vector<std::string> allowed_names;
  };
  static Result<std::shared_ptr<const TlsCredentials>> from(const X509& files);

  // A file of lines USER:KEY, the key in hexadecimal, as GnuTLS's psktool(1)
  // makes them.
  static Result<std::shared_ptr<const TlsCredentials>> from_psk_file(
      const std::string& path);

  ~TlsCredentials();
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;

 private:
  friend class Tls;
  TlsCredentials() = default;
  Result<void> make_context();
  Result<void> load(const X509& files);
  Result<void> load_psk(const std::string& path);

  SSL_CTX* context_ = nullptr;
  std::vector<std::string> allowed_names_;
  std::map<std::string, std::vector<unsigned char>, std::less<>> keys_;
};

// The server's end of one TLS connection over a non-blocking socket that
// somebody else owns. No call waits. Belongs to one thread, which has SIGPIPE
// blocked.
class Tls {
 public:
  // AES-GCM is safe for 2^24.5 records of 2^14 bytes (RFC 8446, section 5.5).
  static constexpr std::uint64_t kBytesPerKey = std::uint64_t{1} << 37;

  // With TLS 1.3 the key is changed when so many bytes were sent with it.
  // Throws std::bad_alloc.
  Tls(std::shared_ptr<const TlsCredentials> credentials, int fd,
      std::uint64_t bytes_per_key = kBytesPerKey);
  ~Tls();
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  // What came of a call: it is done; the socket has to become readable or
  // writable first, and then the call is to be repeated; the peer has ended the
  // connection in good order; or it is broken, and error() says why.
  enum class State { kDone, kWantRead, kWantWrite, kEnd, kBroken };
  struct Outcome {
    State state = State::kDone;
    std::size_t bytes = 0;
  };

  // Until it is done nothing else may be called. Done is who may come in.
  State handshake();
  // kDone moves a byte at least. After kWantWrite, write() is to be called with
  // the same bytes, and may be with more of them.
  Outcome read(std::span<std::byte> into);
  Outcome write(std::span<const std::byte> from);
  // Tells the peer that no more will come, if that takes no waiting.
  void goodbye();

  // Does the kernel encrypt (kTLS)? Then write() is not to be used: what is
  // written to the socket goes out encrypted, sendfile(2) included.
  bool kernel_sends() const;

  // Of broken connections; a sentence.
  const std::string& error() const { return error_; }
  // Who the peer is, for the log: "TLSv1.3, CN=backup,O=Example" or
  // "TLSv1.3, user alice".
  std::string peer() const;

 private:
  State state_of(int result, const char* what);
  Result<void> check_peer() const;
  static unsigned find_key(SSL* ssl, const char* user, unsigned char* key,
                           unsigned size);

  const std::shared_ptr<const TlsCredentials> credentials_;
  const std::uint64_t bytes_per_key_;
  SSL* ssl_;
  bool established_ = false;
  bool broken_ = false;
  std::string user_;        // whose key it is
  std::uint64_t sent_ = 0;  // bytes under the present key
  std::string error_;
};

}  // namespace blksnap::nbd
