// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/json.h"

#include <cerrno>

template class nlohmann::basic_json<nlohmann::ordered_map>;

namespace blksnap {

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
  return value.dump(indent, ' ', /*ensure_ascii=*/false,
                    Json::error_handler_t::replace);
}

Result<std::string> to_exact_text(const Json& value, int indent) {
  try {
    return value.dump(indent);
  } catch (const Json::exception& error) {
    return refuse(EINVAL, reason_of(error));
  }
}

}  // namespace blksnap
