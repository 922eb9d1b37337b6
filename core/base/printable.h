// SPDX-License-Identifier: LGPL-2.1-or-later
// Text of others, as it may be shown: names that clients send, descriptions of
// servers, what other programs print, what is written on disks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace blksnap {

// Returns at most `most` bytes of a text as one line of UTF-8, with "..." if it
// is longer. Each character that a terminal obeys becomes '?': controls of
// ASCII and of ISO 6429 (U+0080 to U+009F), separators of lines, and what turns
// the direction of text. Bytes that are not UTF-8 become U+FFFD.
std::string printable(std::string_view text,
                      std::size_t most = std::string_view::npos);

// Does the same with a text of several lines, which keeps its '\n'.
std::string printable_lines(std::string_view text);

}  // namespace blksnap
