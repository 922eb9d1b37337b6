// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace blksnap::tool {

struct ChildOutput {
  std::string out, err;
};

// Runs a program of PATH or /usr/sbin, without a shell, in the C locale and
// with nothing to read, and waits for it. ENOENT: it is not installed. EIO: it
// failed; the message has the last line of what it complained about.
Result<ChildOutput> run_child(const std::vector<std::string>& command);

}  // namespace blksnap::tool
