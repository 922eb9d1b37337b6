// SPDX-License-Identifier: LGPL-2.1-or-later
#include "output.h"

#include <cstdio>

namespace blksnap::tool {

void Output::say(const std::string& text, const Json& object) const {
  // Paths need not be UTF-8; JSON has to be.
  const std::string line = json_ ? object.dump(-1, ' ', /*ensure_ascii=*/false,
                                               Json::error_handler_t::replace) +
                                       "\n"
                                 : text;
  std::fputs(line.c_str(), stdout);
}

void Output::say_fields(const Json& object, char between) const {
  std::string text;
  for (const auto& [name, value] : object.items()) {
    if (!text.empty()) text += between;
    text += name + "=" +
            (value.is_string() ? value.get<std::string>() : value.dump());
  }
  say(text + "\n", object);
}

}  // namespace blksnap::tool
