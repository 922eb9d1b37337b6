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

// EINVAL: where and why `text` is not JSON.
Result<Json> parse_json(std::string_view text);

// What an exception of the library says, without the library's own name and
// number in front.
std::string reason_of(const Json::exception& error);

// As text, on one line or, with `indent`, on a line each member. Bytes of
// strings that are not UTF-8 become U+FFFD. Throws std::bad_alloc.
std::string to_text(const Json& value, int indent = -1);
// EINVAL where a string is not UTF-8.
Result<std::string> to_exact_text(const Json& value, int indent = -1);

}  // namespace blksnap

extern template class nlohmann::basic_json<nlohmann::ordered_map>;
