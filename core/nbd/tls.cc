// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/tls.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <utility>

namespace blksnap::nbd {

namespace {

// The oldest error of this thread: the cause of those after it.
std::string reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  const char* text = ERR_reason_error_string(code);
  return text ? text : "OpenSSL error " + std::to_string(code);
}

template <auto kFree>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;

// As RFC 4514 has it.
std::string name_of(const X509* certificate) {
  const BioPtr text(BIO_new(BIO_s_mem()));
  if (!text) throw std::bad_alloc();
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0,
                     XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long size = BIO_get_mem_data(text.get(), &data);
  return {data, static_cast<std::size_t>(std::max(size, 0L))};
}

CertificatePtr certificate_of(const SSL* ssl) {
  return CertificatePtr(SSL_get1_peer_certificate(ssl));
}

}  // namespace

TlsCredentials::~TlsCredentials() {
  SSL_CTX_free(context_);
}

Result<void> TlsCredentials::make_context() {
  ERR_clear_error();
  context_ = SSL_CTX_new(TLS_server_method());
  if (!context_) return refuse(ENOMEM, "TLS: " + reason());
  SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
  // No sessions are kept: a client that comes back shakes hands again, and
  // nothing outlives a connection.
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context_, 0);
  SSL_CTX_set_options(
      context_, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                    SSL_OP_ENABLE_KTLS | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
  return {};
}

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::from(
    const X509& files) {
  const std::shared_ptr<TlsCredentials> made(new TlsCredentials);
  if (auto done = made->make_context(); !done) return done.error();
  if (auto done = made->load(files); !done) return done.error();
  return std::shared_ptr<const TlsCredentials>(made);
}

Result<void> TlsCredentials::load(const X509& files) {
  const auto path = [&](const char* name) {
    return files.directory + "/" + name;
  };
  const auto failed = [](const std::string& what) {
    return refuse(EINVAL, "TLS: " + what + ": " + reason());
  };
  if (!files.allowed_names.empty() && !files.verify_peer)
    return refuse(EINVAL,
                  "TLS: names of clients can be checked only with their "
                  "certificates");
  ERR_clear_error();
  const std::string certificate = path("server-cert.pem");
  if (SSL_CTX_use_certificate_chain_file(context_, certificate.c_str()) != 1)
    return failed(certificate);
  const std::string key = path("server-key.pem");
  if (SSL_CTX_use_PrivateKey_file(context_, key.c_str(), SSL_FILETYPE_PEM) != 1)
    return failed(key);
  if (!files.verify_peer) return {};

  const std::string authority = path("ca-cert.pem");
  if (SSL_CTX_load_verify_file(context_, authority.c_str()) != 1)
    return failed(authority);
  auto* names = SSL_load_client_CA_file(authority.c_str());
  if (!names) return failed(authority);
  SSL_CTX_set_client_CA_list(context_, names);
  const std::string revoked = path("ca-crl.pem");
  if (std::error_code ignored; std::filesystem::exists(revoked, ignored)) {
    X509_STORE* store = SSL_CTX_get_cert_store(context_);
    if (X509_load_crl_file(X509_STORE_add_lookup(store, X509_LOOKUP_file()),
                           revoked.c_str(), SSL_FILETYPE_PEM) < 1)
      return failed(revoked);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  }
  SSL_CTX_set_verify(
      context_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  allowed_names_ = files.allowed_names;
  return {};
}

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::from_psk_file(
    const std::string& path) {
  const std::shared_ptr<TlsCredentials> made(new TlsCredentials);
  if (auto done = made->make_context(); !done) return done.error();
  if (auto done = made->load_psk(path); !done) return done.error();
  return std::shared_ptr<const TlsCredentials>(made);
}

Result<void> TlsCredentials::load_psk(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(errno, "TLS: open " + path);
  std::string line;
  for (unsigned number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    // No part of the line is told: it may be a secret.
    const std::string where =
        "TLS: " + path + ", line " + std::to_string(number);
    const std::size_t colon = line.rfind(':');
    if (colon == std::string::npos || colon == 0)
      return refuse(EINVAL, where + ": not of the form USER:KEY");
    long size = 0;
    unsigned char* bytes = OPENSSL_hexstr2buf(line.c_str() + colon + 1, &size);
    if (!bytes || size < 16 || size > PSK_MAX_PSK_LEN) {
      OPENSSL_free(bytes);
      ERR_clear_error();
      return refuse(EINVAL, where +
                                ": the key is not 16 to 512 bytes in "
                                "hexadecimal");
    }
    const bool added =
        keys_
            .try_emplace(line.substr(0, colon),
                         std::vector<unsigned char>(bytes, bytes + size))
            .second;
    OPENSSL_clear_free(bytes, static_cast<std::size_t>(size));
    if (!added) return refuse(EINVAL, where + ": the user is there twice");
  }
  if (file.bad()) return fail(EIO, "TLS: read " + path);
  if (keys_.empty()) return refuse(EINVAL, "TLS: " + path + " has no keys");
  return {};
}

Tls::Tls(std::shared_ptr<const TlsCredentials> credentials, int fd,
         std::uint64_t bytes_per_key)
    : credentials_(std::move(credentials)),
      bytes_per_key_(bytes_per_key),
      ssl_(SSL_new(credentials_->context_)) {
  if (!ssl_ || SSL_set_fd(ssl_, fd) != 1) {
    SSL_free(ssl_);
    throw std::bad_alloc();
  }
  SSL_set_accept_state(ssl_);
  SSL_set_app_data(ssl_, this);
  // Of TLS 1.2 and, with keys that are bound to SHA-256, of TLS 1.3 as well.
  if (!credentials_->keys_.empty())
    SSL_set_psk_server_callback(ssl_, &Tls::find_key);
}

Tls::~Tls() {
  SSL_free(ssl_);
}

unsigned Tls::find_key(SSL* ssl, const char* user, unsigned char* key,
                       unsigned size) {
  auto& self = *static_cast<Tls*>(SSL_get_app_data(ssl));
  const auto& keys = self.credentials_->keys_;
  const auto found = keys.find(std::string_view(user));
  if (found == keys.end() || found->second.size() > size) return 0;
  std::copy(found->second.begin(), found->second.end(), key);
  // OpenSSL does not tell with TLS 1.3.
  self.user_ = found->first;
  return static_cast<unsigned>(found->second.size());
}

Tls::State Tls::state_of(int result, const char* what) {
  if (result > 0) return State::kDone;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
      return State::kWantRead;
    case SSL_ERROR_WANT_WRITE:
      return State::kWantWrite;
    case SSL_ERROR_ZERO_RETURN:
      return State::kEnd;
    case SSL_ERROR_SYSCALL:
      error_ = std::string(what) + ": " +
               (errno ? std::strerror(errno) : "the connection is gone");
      break;
    default:
      error_ = std::string(what) + ": " + reason();
      if (const long verdict = SSL_get_verify_result(ssl_);
          verdict != X509_V_OK)
        error_ += std::string(": ") + X509_verify_cert_error_string(verdict);
      break;
  }
  broken_ = true;
  return State::kBroken;
}

Tls::State Tls::handshake() {
  ERR_clear_error();
  errno = 0;
  State state = state_of(SSL_do_handshake(ssl_), "TLS handshake");
  if (state == State::kEnd) {
    error_ = "TLS handshake: the client gave up";
    broken_ = true;
    state = State::kBroken;
  }
  if (state != State::kDone) return state;
  if (const auto allowed = check_peer(); !allowed) {
    error_ = allowed.error().message;
    return State::kBroken;
  }
  established_ = true;
  return State::kDone;
}

Result<void> Tls::check_peer() const {
  const auto& allowed = credentials_->allowed_names_;
  if (allowed.empty()) return {};
  const CertificatePtr certificate = certificate_of(ssl_);
  if (!certificate) return refuse(EACCES, "TLS: no certificate");
  const std::string name = name_of(certificate.get());
  if (std::find(allowed.begin(), allowed.end(), name) != allowed.end())
    return {};
  return refuse(EACCES, "TLS: \"" + name + "\" is not one of the names let in");
}

Tls::Outcome Tls::read(std::span<std::byte> into) {
  ERR_clear_error();
  errno = 0;
  std::size_t bytes = 0;
  const int result = SSL_read_ex(ssl_, into.data(), into.size(), &bytes);
  return {state_of(result, "TLS"), bytes};
}

Tls::Outcome Tls::write(std::span<const std::byte> from) {
  ERR_clear_error();
  errno = 0;
  if (sent_ >= bytes_per_key_ && SSL_version(ssl_) == TLS1_3_VERSION) {
    // Not while a record waits for room: the next call tries again.
    if (SSL_key_update(ssl_, SSL_KEY_UPDATE_NOT_REQUESTED) == 1) sent_ = 0;
    ERR_clear_error();
  }
  std::size_t bytes = 0;
  const int result = SSL_write_ex(ssl_, from.data(), from.size(), &bytes);
  sent_ += bytes;
  return {state_of(result, "TLS"), bytes};
}

void Tls::goodbye() {
  if (!established_ || broken_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

bool Tls::kernel_sends() const {
  return established_ && BIO_get_ktls_send(SSL_get_wbio(ssl_)) != 0;
}

std::string Tls::peer() const {
  std::string text = SSL_get_version(ssl_);
  if (const CertificatePtr certificate = certificate_of(ssl_)) {
    text += ", " + name_of(certificate.get());
  } else if (!user_.empty()) {
    text += ", user " + user_;
  }
  if (kernel_sends()) text += ", encrypted by the kernel";
  return text;
}

}  // namespace blksnap::nbd
