// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/format.h"

#include <fmt/format.h>

#include <cctype>
#include <cstring>

namespace blksnap {

std::string formatted_from(fmt::string_view text, fmt::format_args values) {
  return fmt::vformat(text, values);
}

std::string percent_encoded(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c != '\0' && (std::isalnum(byte) || std::strchr("/-._~+,:@", c))) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

}  // namespace blksnap
