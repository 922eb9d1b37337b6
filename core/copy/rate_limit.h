// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace blksnap::copy {

// So many bytes a second, by all copies together that share it. Any thread.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  // 0: as many as come.
  explicit RateLimit(std::uint64_t bytes_per_second)
      : bytes_per_second_(bytes_per_second) {}

  // Takes `bytes` if it is time for them, and returns 0; else how long to wait
  // before asking again. What was not used is not saved up.
  Clock::duration take(std::uint64_t bytes, Clock::time_point now);

 private:
  const std::uint64_t bytes_per_second_;
  std::mutex mutex_;
  Clock::time_point next_{};  // when the next bytes may be taken
};

}  // namespace blksnap::copy
