// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/uuid.h"

#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <cerrno>

namespace blksnap {
namespace {

// Value of a hexadecimal digit, or -1.
int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

// By hand, since Boost's parser takes braces and missing dashes as well, and
// then one snapshot or generation would have several names.
Result<boost::uuids::uuid> parse_uuid(std::string_view text) {
  const Error error =
      refuse(EINVAL, "'" + std::string(text) + "' is not a UUID");
  constexpr std::size_t kLength = 36;
  if (text.size() != kLength) return error;
  boost::uuids::uuid uuid;
  std::size_t at = 0;
  for (std::uint8_t& byte : uuid) {
    if (at == 8 || at == 13 || at == 18 || at == 23) {
      if (text[at++] != '-') return error;
    }
    const int high = digit(text[at++]);
    const int low = digit(text[at++]);
    if (high < 0 || low < 0) return error;
    byte = static_cast<std::uint8_t>(high << 4 | low);
  }
  return uuid;
}

std::string new_uuid() {
  return blksnap::to_string(boost::uuids::random_generator()());
}

std::string to_string(const boost::uuids::uuid& uuid) {
  return boost::uuids::to_string(uuid);
}

}  // namespace blksnap
