// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace blksnap::repo {

// Takes the lock on the file `path`, for as long as the descriptor is open here
// or in a child, and writes into it who has it. EBUSY, with who it is, if
// somebody else does; but it waits for the children of one that has died.
Result<UniqueFd> lock_to_write(const std::string& path, const std::string& who);

}  // namespace blksnap::repo
