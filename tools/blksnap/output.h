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

// Standard output: text, or with --json one object a line, and nothing else.
class Output {
 public:
  explicit Output(const bool& json) : json_(json) {}

  bool json() const { return json_; }

  // Prints lines of text, which may be empty, or the object that says the same.
  // Of the text, what a terminal would obey becomes '?'; a value in it that may
  // have a '\n' is for the caller to clean: base/printable.h.
  void say(const std::string& text, const JsonValue& object) const;
  // Does the same with a picture: its values are clean, and it has escape
  // sequences of ours.
  void draw(const std::string& picture, const JsonValue& object) const;
  // Its members as NAME=VALUE, on a line each or as told, or the object.
  void say_fields(const JsonValue& object, char between = '\n') const;

 private:
  const bool& json_;  // known once the command line is parsed
};

}  // namespace blksnap::tool
