// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace blksnap {

// fmt::vformat(), compiled once. Throws fmt::format_error and std::bad_alloc.
std::string formatted_from(fmt::string_view text, fmt::format_args values);

// fmt::format() without the many seconds of compiling that <fmt/format.h> adds
// to each file: values of built-in types and strings only.
template <class... T>
std::string formatted(fmt::format_string<T...> text, T&&... values) {
  return formatted_from(text, fmt::make_format_args(values...));
}

// For the path or the query of a URI (RFC 3986, section 2.1): the rest as %20.
std::string percent_encoded(std::string_view text);

}  // namespace blksnap
