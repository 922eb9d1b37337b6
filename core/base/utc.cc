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

}  // namespace blksnap
