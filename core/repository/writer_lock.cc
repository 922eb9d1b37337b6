// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/writer_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

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

bool is_dead(const std::string& said) {
  const long pid = std::strtol(said.c_str(), nullptr, 10);
  return pid > 0 && ::kill(static_cast<pid_t>(pid), 0) == -1 && errno == ESRCH;
}

}  // namespace

Result<UniqueFd> lock_to_write(const std::string& path,
                               const std::string& who) {
  auto opened = io::open_plain(path, O_RDWR | O_CREAT);
  if (!opened) return opened.error();
  UniqueFd fd = std::move(*opened);
  int locked = ::flock(fd.get(), LOCK_EX | LOCK_NB);
  if (locked == -1 && errno == EWOULDBLOCK) {
    const std::string said = holder(fd.get());
    if (!is_dead(said))
      return refuse(EBUSY, path + " is held" +
                               (said.empty() ? "" : " by process " + said) +
                               ": one writer at a time");
    locked = ::flock(fd.get(), LOCK_EX);
  }
  if (locked == -1) return fail(errno, "lock " + path);
  const std::string text = std::to_string(::getpid()) + " " + who + "\n";
  if (::ftruncate(fd.get(), 0) == -1 ||
      ::pwrite(fd.get(), text.data(), text.size(), 0) == -1)
    return fail(errno, "write " + path);
  return fd;
}

}  // namespace blksnap::repo
