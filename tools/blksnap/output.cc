// SPDX-License-Identifier: LGPL-2.1-or-later
#include "output.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstring>

namespace blksnap::tool {

std::string size_text(std::uint64_t bytes) {
  static constexpr char kUnits[] = " KMGTPE";
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::strlen(kUnits); ++unit) value /= 1024;
  std::string text = unit == 0 || value >= 100 ? fmt::format("{:.0f}", value)
                                               : fmt::format("{:.1f}", value);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return unit == 0 ? text : text + kUnits[unit];
}

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0
             ? 0
             : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string printable(const std::string& text) {
  constexpr auto replace = Json::error_handler_t::replace;
  std::string clean =
      Json::parse(Json(text).dump(-1, ' ', /*ensure_ascii=*/false, replace))
          .get<std::string>();
  for (std::size_t i = 0; i < clean.size(); ++i) {
    const auto byte = static_cast<unsigned char>(clean[i]);
    // Those of ISO 6429 above 0x7f are two bytes here.
    const bool c1 = byte == 0xc2 && i + 1 < clean.size() &&
                    static_cast<unsigned char>(clean[i + 1]) < 0xa0;
    if (c1) clean.erase(i, 1);
    if (c1 || byte < 0x20 || byte == 0x7f) clean[i] = '?';
  }
  return clean;
}

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
