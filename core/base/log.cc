// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <utility>

#include "base/format.h"
#include "base/json.h"
#include "base/printable.h"

namespace blksnap {

namespace {

// Of the line that this thread is logging: it is formatted before the call
// that logs it returns.
thread_local std::span<const LogField> fields_of_line;

void append(spdlog::memory_buf_t& line, std::string_view text) {
  line.append(text.data(), text.data() + text.size());
}

// Names and messages come from clients and file systems: not always UTF-8.
std::string quoted(std::string_view text) {
  return to_text(Json(text));
}

std::string value_of(const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value))
    return quoted(*text);
  if (const auto* number = std::get_if<double>(&field.value))
    return formatted("{:.3f}", *number);
  return std::to_string(std::get<std::uint64_t>(field.value));
}

// "%*" of the text pattern: " name=value name=value".
class TextFields : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg&, const std::tm&,
              spdlog::memory_buf_t& line) override {
    for (const LogField& field : fields_of_line) {
      if (!field.in_message)
        append(line,
               formatted(" {}={}", field.name, printable(value_of(field))));
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<TextFields>();
  }
};

// "%*" of the JSON pattern: "message":"...","name":value.
class JsonMembers : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& line) override {
    append(line, "\"message\":" +
                     quoted({message.payload.data(), message.payload.size()}));
    for (const LogField& field : fields_of_line)
      append(line, formatted(",\"{}\":{}", field.name, value_of(field)));
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMembers>();
  }
};

template <class Flag>
std::unique_ptr<spdlog::formatter> formatter(
    const char* pattern, spdlog::pattern_time_type time,
    const char* end_of_line = spdlog::details::os::default_eol) {
  auto made = std::make_unique<spdlog::pattern_formatter>(time, end_of_line);
  made->add_flag<Flag>('*').set_pattern(pattern);
  return made;
}

spdlog::level::level_enum level_of_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      break;
  }
  return spdlog::level::off;
}

LogLevel level_of(spdlog::level::level_enum level) {
  for (const LogLevel one : {LogLevel::kDebug, LogLevel::kInfo,
                             LogLevel::kWarning, LogLevel::kError})
    if (level <= level_of_spdlog(one)) return one;
  return LogLevel::kOff;
}

std::unique_ptr<spdlog::formatter> text_formatter() {
  return formatter<TextFields>("%Y-%m-%d %H:%M:%S.%e %n %l: %v%*",
                               spdlog::pattern_time_type::local);
}

class ReceiverSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit ReceiverSink(LogReceiver receiver)
      : receiver_(std::move(receiver)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    receiver_(level_of(message.level), {line.data(), line.size()});
  }
  void flush_() override {}

 private:
  const LogReceiver receiver_;
};

spdlog::logger& engine() {
  static spdlog::logger* const made = [] {
    auto* log = new spdlog::logger(
        "blksnap", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    log->set_formatter(text_formatter());
    return log;
  }();
  return *made;
}

}  // namespace

Logger& logger() {
  static Logger log;  // has no state: spdlog's logger is never destroyed
  return log;
}

LogLevel Logger::level() const {
  return level_of(engine().level());
}

void Logger::set_level(LogLevel level) {
  engine().set_level(level_of_spdlog(level));
}

void Logger::write(LogLevel level, fmt::string_view text,
                   fmt::format_args values) noexcept try {
  if (!engine().should_log(level_of_spdlog(level))) return;
  engine().log(level_of_spdlog(level), printable(formatted_from(text, values)));
} catch (const std::exception&) {
}

Result<void> set_log_level(std::string_view name) {
  struct Level {
    std::string_view name;
    LogLevel level;
  };
  static constexpr Level kLevels[] = {
      {"debug", LogLevel::kDebug},     {"info", LogLevel::kInfo},
      {"warning", LogLevel::kWarning}, {"error", LogLevel::kError},
      {"off", LogLevel::kOff},
  };
  for (const Level& level : kLevels) {
    if (level.name != name) continue;
    logger().set_level(level.level);
    return {};
  }
  return refuse(EINVAL, "log level '" + std::string(name) +
                            "': want debug, info, warning, error or off");
}

Result<void> set_log_format(std::string_view name) {
  if (name == "text") {
    engine().set_formatter(text_formatter());
  } else if (name == "json") {
    engine().set_formatter(formatter<JsonMembers>(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%*})",
        spdlog::pattern_time_type::utc));
  } else {
    return refuse(EINVAL,
                  "log format '" + std::string(name) + "': want text or json");
  }
  return {};
}

void send_log_to(LogReceiver receiver) {
  auto sink = std::make_shared<ReceiverSink>(std::move(receiver));
  sink->set_formatter(
      formatter<TextFields>("%v%*", spdlog::pattern_time_type::local, ""));
  engine().sinks() = {std::move(sink)};
}

void log_fields(LogLevel level, std::string_view message,
                std::span<const LogField> fields) {
  // They are the caller's, and gone after this call, however it ends.
  struct Scope {
    ~Scope() { fields_of_line = {}; }
  } const scope;
  fields_of_line = fields;
  engine().log(level_of_spdlog(level), printable(message));
}

}  // namespace blksnap
