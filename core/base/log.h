// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"

namespace blksnap {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

// The log of a process. spdlog writes it; log.cc alone includes spdlog, whose
// headers cost each file that reads them many seconds of compiling.
//
// Any thread may log. No function throws: a line that cannot be formatted, for
// lack of memory for example, is lost.
class Logger {
 public:
  template <class... T>
  void debug(fmt::format_string<T...> text, T&&... values) noexcept {
    write(LogLevel::kDebug, text, fmt::make_format_args(values...));
  }
  template <class... T>
  void info(fmt::format_string<T...> text, T&&... values) noexcept {
    write(LogLevel::kInfo, text, fmt::make_format_args(values...));
  }
  template <class... T>
  void warn(fmt::format_string<T...> text, T&&... values) noexcept {
    write(LogLevel::kWarning, text, fmt::make_format_args(values...));
  }
  template <class... T>
  void error(fmt::format_string<T...> text, T&&... values) noexcept {
    write(LogLevel::kError, text, fmt::make_format_args(values...));
  }

  LogLevel level() const;
  // Lines below `level` are dropped; kInfo at start.
  void set_level(LogLevel level);

 private:
  void write(LogLevel level, fmt::string_view text,
             fmt::format_args values) noexcept;
};

// The one log of a process, on standard error. Created at first use and never
// destroyed, so that destructors of other static objects may log.
Logger& logger();

// "debug", "info" (at start), "warning", "error" or "off"; else EINVAL.
Result<void> set_log_level(std::string_view name);

// "text" (at start): lines for people, in local time. "json": an object a line,
// with time (UTC, as RFC 3339 has it), level, message and the fields. Else
// EINVAL. Before there are threads.
Result<void> set_log_format(std::string_view name);

// Receives each line instead of standard error: the message and the fields as
// text, without time, level and end of line. Called by one thread at a time.
using LogReceiver = std::function<void(LogLevel, const std::string& line)>;
// Before there are threads.
void send_log_to(LogReceiver receiver);

// A named value of a log line, for programs to find.
struct LogField {
  std::string_view name;
  std::variant<std::uint64_t, double, std::string_view> value;
  bool in_message = false;  // the words say it already: only for JSON
};

// Logs a line with fields: in text they follow the message, as name=value. Any
// thread; never throws.
void log_fields(LogLevel level, std::string_view message,
                std::span<const LogField> fields);

}  // namespace blksnap
