// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>

#include "json.h"

namespace blksnap::tool {

// Bytes for people, by powers of 1024: "64K", "1.5G".
std::string size_text(std::uint64_t bytes);
// 0 of nothing.
double percent(std::uint64_t part, std::uint64_t whole);

// Names and labels come from disks, and may hold anything: as UTF-8, without
// characters that a terminal would obey.
std::string printable(const std::string& text);

// Standard output: text, or with --json one object a line, and nothing else.
class Output {
 public:
  explicit Output(const bool& json) : json_(json) {}

  bool json() const { return json_; }

  // `text`, which may be empty, or the object that says the same.
  void say(const std::string& text, const JsonValue& object) const;
  // Its members as NAME=VALUE, on a line each or as told, or the object.
  void say_fields(const JsonValue& object, char between = '\n') const;

 private:
  const bool& json_;  // known once the command line is parsed
};

}  // namespace blksnap::tool
