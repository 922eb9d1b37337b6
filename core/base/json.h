// SPDX-License-Identifier: LGPL-2.1-or-later
// JSON by the library of Niels Lohmann. Its parser and its writer are compiled
// once, in json.cc: each file that calls Json::parse() or dump() itself costs
// several seconds more.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blksnap {

// Members of an object stay in their order. at() and get() throw
// Json::exception.
using Json = nlohmann::ordered_json;

// Parses a text. EINVAL names the place and the reason if it is not JSON.
Result<Json> parse_json(std::string_view text);

// Returns the message of an exception of the library, without the library's
// name and number in front.
std::string reason_of(const Json::exception& error);

// Writes a value as text: on one line or, with `indent` (spaces a level), with
// a line for each member. Bytes that are not UTF-8 become U+FFFD, and control
// characters are escaped, those above U+007F as well. Throws std::bad_alloc.
std::string to_text(const Json& value, int indent = -1);
// Does the same, and returns EINVAL if a string is not UTF-8.
Result<std::string> to_exact_text(const Json& value, int indent = -1);

}  // namespace blksnap

extern template class nlohmann::basic_json<nlohmann::ordered_map>;
