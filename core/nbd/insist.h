// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <new>
#include <thread>

namespace blksnap::nbd {

// Until somebody may have given memory back.
inline constexpr std::chrono::milliseconds kMemoryPause{10};

// For the little that somebody waits for, and that must not fail: does it again
// until there is memory for it. Blocks the thread meanwhile.
template <class Body>
void insist(Body body) noexcept {
  for (;;) {
    try {
      body();
      return;
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(kMemoryPause);
    }
  }
}

}  // namespace blksnap::nbd
