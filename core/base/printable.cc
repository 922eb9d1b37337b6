// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/printable.h"

#include <algorithm>
#include <cstdint>

namespace blksnap {
namespace {

constexpr char kReplacement[] = "\xef\xbf\xbd";  // U+FFFD

struct Character {
  std::uint32_t code = 0;
  std::size_t length = 0;  // bytes; 0 where there is no valid character
};

// Decodes the first character of a text that is not empty (RFC 3629, section
// 4).
Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) {
    return static_cast<unsigned char>(text[i]);
  };
  if (byte(0) < 0x80) return {byte(0), 1};
  std::size_t length = 0;
  std::uint32_t code = 0, least = 0;
  if ((byte(0) & 0xe0) == 0xc0) {
    length = 2, code = byte(0) & 0x1f, least = 0x80;
  } else if ((byte(0) & 0xf0) == 0xe0) {
    length = 3, code = byte(0) & 0x0f, least = 0x800;
  } else if ((byte(0) & 0xf8) == 0xf0) {
    length = 4, code = byte(0) & 0x07, least = 0x10000;
  }
  if (length == 0 || length > text.size()) return {};
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3f);
  }
  if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
    return {};
  return {code, length};
}

bool is_obeyed(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) ||
         (code >= 0x200e && code <= 0x200f) ||
         (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069);
}

std::string cleaned(std::string_view text, bool keep_lines) {
  std::string clean;
  while (!text.empty()) {
    const Character one = first_of(text);
    if (one.length == 0)
      clean += kReplacement;
    else if (is_obeyed(one.code) && !(keep_lines && one.code == '\n'))
      clean += '?';
    else
      clean += text.substr(0, one.length);
    text.remove_prefix(std::max<std::size_t>(one.length, 1));
  }
  return clean;
}

}  // namespace

std::string printable(std::string_view text, std::size_t most) {
  std::string line = cleaned(text.substr(0, most), false);
  if (text.size() > most) line += "...";
  return line;
}

std::string printable_lines(std::string_view text) {
  return cleaned(text, true);
}

}  // namespace blksnap
