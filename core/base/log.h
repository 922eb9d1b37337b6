// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

// Not spdlog.h: that is all of it, and by its headers alone.
#include <spdlog/logger.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace blksnap {

// The one log of a process, on standard error: logger().warn("{}: ...", name).
// Any thread; never throws; created at first use, and never destroyed, so that
// destructors of other static objects may log.
spdlog::logger& logger();

// "debug", "info" (at start), "warning", "error" or "off"; else EINVAL.
Result<void> set_log_level(std::string_view name);

// "text" (at start): lines for people, in local time. "json": an object a line,
// with time (UTC, as RFC 3339 has it), level, message and the fields. Else
// EINVAL. Before there are threads.
Result<void> set_log_format(std::string_view name);

// For sinks that know time and level in their own way: the message and the
// fields as text, without an end of line.
std::unique_ptr<spdlog::formatter> message_formatter();

// What a line tells for programs to find.
struct LogField {
  std::string_view name;
  std::variant<std::uint64_t, double, std::string_view> value;
  bool in_message = false;  // the words say it already: only for JSON
};

// A line with fields: in text they follow the message, as name=value. As
// logger() otherwise.
void log_fields(spdlog::level::level_enum level, std::string_view message,
                std::span<const LogField> fields);

}  // namespace blksnap
