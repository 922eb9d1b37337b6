// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/utc.h"

namespace blksnap {

std::string utc_text(const char* format, std::time_t time) {
  std::tm parts{};
  char text[64] = "";
  if (!::gmtime_r(&time, &parts) ||
      std::strftime(text, sizeof text, format, &parts) == 0)
    return "?";
  return text;
}

std::string to_rfc3339(std::time_t time) {
  return utc_text(kRfc3339, time);
}

std::optional<std::time_t> from_rfc3339(const std::string& text) {
  std::tm parts{};
  const char* const rest = ::strptime(text.c_str(), kRfc3339, &parts);
  const std::time_t time = ::timegm(&parts);
  // strptime() takes other spellings as well.
  if (!rest || *rest != '\0' || to_rfc3339(time) != text) return std::nullopt;
  return time;
}

}  // namespace blksnap
