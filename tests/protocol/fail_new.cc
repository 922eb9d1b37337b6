// SPDX-License-Identifier: LGPL-2.1-or-later
// To be loaded before a program (LD_PRELOAD): from one SIGUSR2 to the next, one
// in FAIL_NEW_EVERY calls of operator new fails.
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <new>

// What is loaded before a program has to be seen by it.
#pragma GCC visibility push(default)
#include "failing_new.h"
#pragma GCC visibility pop

namespace {

std::atomic<bool> failing;
std::atomic<unsigned> calls;
unsigned every = 0;

__attribute__((constructor)) void start() {
  const char* const text = std::getenv("FAIL_NEW_EVERY");
  every = text ? static_cast<unsigned>(std::atoi(text)) : 0;
  ::signal(SIGUSR2, [](int) { failing = !failing; });
}

}  // namespace

static bool allocation_fails() {
  return failing && every != 0 && ++calls % every == 0;
}
