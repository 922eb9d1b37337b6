// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>

#include <cerrno>
#include <memory>
#include <string>

namespace blksnap {

spdlog::logger& logger() {
  static spdlog::logger* const log = [] {
    auto* made = new spdlog::logger(
        "blksnap", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%d %H:%M:%S.%e %n %l: %v");
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

}  // namespace blksnap
