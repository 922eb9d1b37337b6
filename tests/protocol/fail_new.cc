// SPDX-License-Identifier: LGPL-2.1-or-later
// To be loaded before a program (LD_PRELOAD): from one SIGUSR2 to the next, one
// in FAIL_NEW_EVERY calls of operator new fails.
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <new>

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

#pragma GCC visibility push(default)
void* operator new(std::size_t size) {
  if (failing && every != 0 && ++calls % every == 0) throw std::bad_alloc();
  if (void* const memory = std::malloc(size ? size : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
#pragma GCC visibility pop
