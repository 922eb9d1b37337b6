// SPDX-License-Identifier: LGPL-2.1-or-later
// The digest that a JSON file of a repository has of itself: FORMAT.md, "Seal".
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace blksnap::repo {

// Writes an object, which has no "digest", as the text of a file with its
// digest in front.
std::string sealed(const Json& members);

// Checks such a text. EILSEQ where a byte has changed, or there is no digest.
Result<void> check_seal(std::string_view text);

}  // namespace blksnap::repo
