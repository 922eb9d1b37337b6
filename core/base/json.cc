// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/json.h"

#include <cerrno>

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace blksnap {

namespace {

// Escapes the control characters that JSON allows in strings, U+007F to U+009F:
// a terminal obeys them. Such bytes are in strings alone.
std::string without_controls(const std::string& text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string escaped;
  escaped.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    const bool two_bytes = byte == 0xc2 && i + 1 < text.size() &&
                           static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (byte != 0x7f && !two_bytes) {
      escaped += text[i];
      continue;
    }
    if (two_bytes) byte = static_cast<unsigned char>(text[++i]);
    escaped += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]};
  }
  return escaped;
}

}  // namespace

std::string reason_of(const Json::exception& error) {
  const std::string_view text = error.what();
  const std::size_t end = text.find("] ");
  return std::string(end == text.npos ? text : text.substr(end + 2));
}

Result<Json> parse_json(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    return refuse(EINVAL, reason_of(error));
  }
}

std::string to_text(const Json& value, int indent) {
  return without_controls(value.dump(indent, ' ', /*ensure_ascii=*/false,
                                     Json::error_handler_t::replace));
}

Result<std::string> to_exact_text(const Json& value, int indent) {
  try {
    return value.dump(indent);
  } catch (const Json::exception& error) {
    return refuse(EINVAL, reason_of(error));
  }
}

}  // namespace blksnap
