// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

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
  return nlohmann::json(text).dump(-1, ' ', /*ensure_ascii=*/false,
                                   nlohmann::json::error_handler_t::replace);
}

std::string value_of(const LogField& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value))
    return quoted(*text);
  if (const auto* number = std::get_if<double>(&field.value))
    return fmt::format("{:.3f}", *number);
  return std::to_string(std::get<std::uint64_t>(field.value));
}

// "%*" of the text pattern: " name=value name=value".
class TextFields : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg&, const std::tm&,
              spdlog::memory_buf_t& line) override {
    for (const LogField& field : fields_of_line) {
      if (!field.in_message)
        append(line, fmt::format(" {}={}", field.name, value_of(field)));
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
      append(line, fmt::format(",\"{}\":{}", field.name, value_of(field)));
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

std::unique_ptr<spdlog::formatter> text_formatter() {
  return formatter<TextFields>("%Y-%m-%d %H:%M:%S.%e %n %l: %v%*",
                               spdlog::pattern_time_type::local);
}

}  // namespace

spdlog::logger& logger() {
  static spdlog::logger* const log = [] {
    auto* made = new spdlog::logger(
        "blksnap", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_formatter(text_formatter());
    return made;
  }();
  return *log;
}

Result<void> set_log_level(std::string_view name) {
  struct Level {
    std::string_view name;
    spdlog::level::level_enum level;
  };
  static constexpr Level kLevels[] = {
      {"debug", spdlog::level::debug},  {"info", spdlog::level::info},
      {"warning", spdlog::level::warn}, {"error", spdlog::level::err},
      {"off", spdlog::level::off},
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
    logger().set_formatter(text_formatter());
  } else if (name == "json") {
    logger().set_formatter(formatter<JsonMembers>(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%*})",
        spdlog::pattern_time_type::utc));
  } else {
    return refuse(EINVAL,
                  "log format '" + std::string(name) + "': want text or json");
  }
  return {};
}

std::unique_ptr<spdlog::formatter> message_formatter() {
  return formatter<TextFields>("%v%*", spdlog::pattern_time_type::local, "");
}

void log_fields(spdlog::level::level_enum level, std::string_view message,
                std::span<const LogField> fields) {
  // They are the caller's, and gone after this call, however it ends.
  struct Scope {
    ~Scope() { fields_of_line = {}; }
  } const scope;
  fields_of_line = fields;
  logger().log(level, "{}", message);
}

}  // namespace blksnap
