// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/format.h"

#include <fmt/format.h>

namespace blksnap {

std::string formatted_from(fmt::string_view text, fmt::format_args values) {
  return fmt::vformat(text, values);
}

}  // namespace blksnap
