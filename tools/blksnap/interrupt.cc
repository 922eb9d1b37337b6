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
  for (int signal : signals) {
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    // Who started this program, nohup(1) say, does not want it to end by that.
    if (before.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

bool interrupted() {
  return came;
}

}  // namespace blksnap::tool
