// SPDX-License-Identifier: LGPL-2.1-or-later
// For programs in which memory runs out where they say so: replaces the whole
// program's operator new. To be included by one file of it.
#pragma once

#include <cstdlib>
#include <new>

// Is this allocation to fail? Any thread; allocates nothing.
static bool allocation_fails();

// Not inlined: the compiler takes malloc() and free() for a mismatch then.
[[gnu::noinline]] void* operator new(std::size_t size) {
  void* const memory =
      allocation_fails() ? nullptr : std::malloc(size ? size : 1);
  if (!memory) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
