// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/system.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>

namespace blksnap::kernel {

const System& System::running() {
  static const System system;
  return system;
}

int System::ioctl(int fd, unsigned long command, void* argument) const {
  return ::ioctl(fd, command, argument) == 0 ? 0 : errno;
}

Result<UniqueFd> System::open_device(const std::string& path) const {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    const int code = errno;
    return fail(code, code == EACCES ? "open " + path + " (this needs root)"
                                     : "open " + path);
  }
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return fail(errno, "stat " + path);
  if (!S_ISBLK(info.st_mode)) {
    return refuse(ENOTBLK, path + " is not a block device");
  }
  return fd;
}

Error ioctl_error(int code, std::string task, std::string_view ioctl,
                  std::initializer_list<Hint> hints) {
  Error error = fail(code, std::move(task) + " (" + std::string(ioctl) + ")");
  for (const Hint& hint : hints) {
    if (hint.code != code) continue;
    error.message += " (" + std::string(hint.text) + ")";
    return error;
  }
  if (code == EPERM) error.message += " (this needs root: CAP_SYS_ADMIN)";
  return error;
}

}  // namespace blksnap::kernel
