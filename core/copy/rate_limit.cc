// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy/rate_limit.h"

#include <algorithm>

namespace blksnap::copy {

RateLimit::Clock::duration RateLimit::take(std::uint64_t bytes,
                                           Clock::time_point now) {
  if (bytes_per_second_ == 0) return Clock::duration::zero();
  const std::lock_guard lock(mutex_);
  if (now < next_) return next_ - now;
  const std::chrono::duration<double> cost(
      static_cast<double>(bytes) / static_cast<double>(bytes_per_second_));
  next_ = std::max(next_, now - std::chrono::milliseconds(100)) +
          std::chrono::duration_cast<Clock::duration>(cost);
  return Clock::duration::zero();
}

}  // namespace blksnap::copy
