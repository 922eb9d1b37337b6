// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/writer_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "io/file.h"

namespace blksnap::repo {
namespace {

// "PID WHAT" as lock_to_write() leaves it; empty where it cannot be told.
std::string holder(int fd) {
  char text[200];
  const ssize_t got = ::pread(fd, text, sizeof text - 1, 0);
  std::string said(text, got > 0 ? static_cast<std::size_t>(got) : 0);
  return said.substr(0, said.find('\n'));
}

// Takes the lock once it is free, and waits for that, since children of a
// process that was killed hold the lock until they end as well. EWOULDBLOCK.
int lock_soon(int fd) {
  constexpr auto kPatience = std::chrono::seconds(5);
  constexpr auto kInterval = std::chrono::milliseconds(50);
  const auto until = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return 0;
    if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() > until)
      return errno;
    std::this_thread::sleep_for(kInterval);
  }
}

// "PID WHAT on HOST", since processes of other machines and containers have
// numbers of their own.
std::string own_words(const std::string& who) {
  char host[256] = "";
  (void)::gethostname(host, sizeof host - 1);
  return std::to_string(::getpid()) + " " + who + " on " + host + "\n";
}

}  // namespace

Result<UniqueFd> lock_to_write(const std::string& path,
                               const std::string& who) {
  auto opened = io::open_plain(path, O_RDWR | O_CREAT);
  if (!opened) return opened.error();
  UniqueFd fd = std::move(*opened);
  const int error = lock_soon(fd.get());
  if (error == EWOULDBLOCK) {
    const std::string said = holder(fd.get());
    return refuse(EBUSY, path + " is held" +
                             (said.empty() ? "" : " by process " + said) +
                             ": one writer at a time");
  }
  if (error != 0) return fail(error, "lock " + path);
  const std::string text = own_words(who);
  if (::ftruncate(fd.get(), 0) == -1 ||
      ::pwrite(fd.get(), text.data(), text.size(), 0) == -1)
    return fail(errno, "write " + path);
  return fd;
}

}  // namespace blksnap::repo
