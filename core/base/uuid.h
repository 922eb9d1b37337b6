// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <boost/uuid/uuid.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blksnap {

// "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e" and nothing around it, in either
// case; EINVAL with a sentence otherwise.
Result<boost::uuids::uuid> parse_uuid(std::string_view text);

// A random one (version 4), in lower case. Throws where the kernel has no
// random numbers.
std::string new_uuid();

// In lower case.
std::string to_string(const boost::uuids::uuid& uuid);

}  // namespace blksnap
