// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/digest.h"

#include <openssl/evp.h>

#include <new>
#include <vector>

namespace blksnap::repo {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
  // With its own digest OpenSSL fails for want of memory alone.
  static void need(int done) {
    if (done != 1) throw std::bad_alloc();
  }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  State::need(state_->context != nullptr);
  State::need(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr));
}

Sha256::~Sha256() = default;

void Sha256::add(std::span<const std::byte> data) {
  State::need(EVP_DigestUpdate(state_->context, data.data(), data.size()));
}

Digest Sha256::finish() {
  Digest digest;
  State::need(EVP_DigestFinal_ex(
      state_->context, reinterpret_cast<unsigned char*>(digest.data()),
      nullptr));
  return digest;
}

Digest sha256(std::span<const std::byte> data) {
  Sha256 sum;
  sum.add(data);
  return sum.finish();
}

std::string to_hexadecimal(const Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : digest) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

Blocks::Blocks(std::uint64_t size) : size_(size) {
  const std::vector<std::byte> zeroes(kBlock);
  zero_ = sha256(zeroes);
  const std::uint64_t last = size % kBlock;
  last_zero_ =
      last ? sha256(std::span<const std::byte>(zeroes).first(last)) : zero_;
}

}  // namespace blksnap::repo
