// SPDX-License-Identifier: LGPL-2.1-or-later
#include "output.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "base/format.h"
#include "base/printable.h"

namespace blksnap::tool {

std::string size_text(std::uint64_t bytes) {
  static constexpr char kUnits[] = " KMGTPE";
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::strlen(kUnits); ++unit) value /= 1024;
  // A half is rounded up, as the page of "blksnap map" does.
  std::string text =
      unit == 0 || value >= 100
          ? formatted("{:.0f}", std::floor(value + 0.5))
          : formatted("{:.1f}", std::floor(value * 10 + 0.5) / 10);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return unit == 0 ? text : text + kUnits[unit];
}

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0
             ? 0
             : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

void Output::say(const std::string& text, const JsonValue& object) const {
  draw(printable_lines(text), object);
}

void Output::draw(const std::string& picture, const JsonValue& object) const {
  std::fputs(json_ ? (object.dump() + "\n").c_str() : picture.c_str(), stdout);
}

void Output::say_fields(const JsonValue& object, char between) const {
  say(object.dump_fields(between) + "\n", object);
}

}  // namespace blksnap::tool
