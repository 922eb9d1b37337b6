// SPDX-License-Identifier: LGPL-2.1-or-later
#include "interrupt.h"

#include <atomic>

namespace blksnap::tool {
namespace {

// Written by a signal handler, read by any thread.
std::atomic<bool> came = false;
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

void catch_interrupts(std::initializer_list<int> signals) {
  struct sigaction action = {};
  action.sa_handler = [](int) { came = true; };
  for (int signal : signals) sigaction(signal, &action, nullptr);
}

bool interrupted() {
  return came;
}

}  // namespace blksnap::tool
