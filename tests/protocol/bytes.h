// SPDX-License-Identifier: LGPL-2.1-or-later
// Writing and reading big-endian byte strings by hand, so that tests state
// the protocol once more instead of trusting the codec they test.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nbd/codec.h"
#include "nbd/reply.h"

namespace blksnap::nbd {

// be<8>(0x1122) etc.: that many bytes, the highest first.
template <int kBytes>
Bytes be(std::uint64_t value) {
  Bytes out;
  for (int shift = 8 * (kBytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<std::byte>(value >> shift));
  return out;
}

inline Bytes text(std::string_view string) {
  const auto* bytes = reinterpret_cast<const std::byte*>(string.data());
  return {bytes, bytes + string.size()};
}

inline Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// A string with its 32-bit length in front.
inline Bytes counted(std::string_view string) {
  return be<4>(string.size()) + text(string);
}

// All of a reply that is in memory.
inline Bytes bytes_of(const Reply& reply) {
  Bytes out;
  for (const Reply* part = &reply; part; part = part->next.get()) {
    const auto body = part->body();
    out = out + part->head + Bytes(body.begin(), body.end());
  }
  return out;
}

// Takes numbers and strings off the front.
class Taker {
 public:
  explicit Taker(Bytes bytes) : bytes_(std::move(bytes)) {}

  std::uint64_t number(std::size_t count) {
    std::uint64_t value = 0;
    for (const std::byte byte : take(count))
      value = value << 8 | std::to_integer<std::uint64_t>(byte);
    return value;
  }
  std::string string(std::size_t count) {
    const auto bytes = take(count);
    return {reinterpret_cast<const char*>(bytes.data()), count};
  }
  std::size_t left() const { return bytes_.size() - at_; }

 private:
  std::span<const std::byte> take(std::size_t count) {
    REQUIRE(left() >= count);
    at_ += count;
    return std::span(bytes_).subspan(at_ - count, count);
  }

  Bytes bytes_;
  std::size_t at_ = 0;
};

}  // namespace blksnap::nbd
