// SPDX-License-Identifier: LGPL-2.1-or-later
// Preloaded into blksnap, not into what it runs: at the call of number
// FAULT_AT, of those here, the process is killed, or the call fails with
// FAULT_ERRNO. At the end FAULT_COUNT, a file, has how many there were.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long count;
static long fault_at;
static int fault_errno;

__attribute__((constructor)) static void begin(void) {
  const char* at = getenv("FAULT_AT");
  const char* code = getenv("FAULT_ERRNO");
  fault_at = at ? atol(at) : 0;
  fault_errno = code ? atoi(code) : 0;
  unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void end(void) {
  const char* path = getenv("FAULT_COUNT");
  FILE* file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%ld\n", atomic_load(&count));
  fclose(file);
}

// Is this call the one that fails?
static int fails(void) {
  if (atomic_fetch_add(&count, 1) + 1 != fault_at) return 0;
  if (fault_errno == 0) raise(SIGKILL);
  errno = fault_errno;
  return 1;
}

#pragma GCC visibility push(default)

#define WRAP(type, name, parameters, arguments)                             \
  type name parameters {                                                    \
    static type(*real) parameters;                                          \
    if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);          \
    return fails() ? (type)-1 : real arguments;                             \
  }

WRAP(int, mkdir, (const char* path, mode_t mode), (path, mode))
WRAP(int, rename, (const char* from, const char* to), (from, to))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(ssize_t, write, (int fd, const void* data, size_t size), (fd, data, size))
WRAP(ssize_t, pwrite, (int fd, const void* data, size_t size, off_t at),
     (fd, data, size, at))
WRAP(ssize_t, send, (int fd, const void* data, size_t size, int flags),
     (fd, data, size, flags))
WRAP(int, connect,
     (int fd, const struct sockaddr* address, socklen_t size),
     (fd, address, size))
WRAP(pid_t, fork, (void), ())

// Those that make a file.
int open(const char* path, int flags, ...) {
  static int (*real)(const char*, int, ...);
  if (!real) real = (int (*)(const char*, int, ...))dlsym(RTLD_NEXT, "open");
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
    if (fails()) return -1;
  }
  return real(path, flags, mode);
}

#pragma GCC visibility pop
