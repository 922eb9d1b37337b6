// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

// Not spdlog.h: that is all of it, and by its headers alone.
#include <spdlog/logger.h>

#include <string_view>

#include "base/result.h"

namespace blksnap {

// The one log of a process, on standard error: logger().warn("{}: ...", name).
// Any thread; never throws; created at first use, and never destroyed, so that
// destructors of other static objects may log.
spdlog::logger& logger();

// "debug", "info" (at start), "warning", "error" or "off"; else EINVAL.
Result<void> set_log_level(std::string_view name);

}  // namespace blksnap
