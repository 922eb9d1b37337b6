// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <ctime>
#include <optional>
#include <string>

namespace blksnap {

// RFC 3339, section 5.6, in UTC and without fractions: 2026-11-22T01:02:03Z.
inline constexpr char kRfc3339[] = "%Y-%m-%dT%H:%M:%SZ";

std::string to_rfc3339(std::time_t time);
// Reads exactly that spelling. Nothing: the text is not in it.
std::optional<std::time_t> from_rfc3339(const std::string& text);
// As strftime(3) writes an instant in UTC. "?": it is of no year.
std::string utc_text(const char* format, std::time_t time);

}  // namespace blksnap
