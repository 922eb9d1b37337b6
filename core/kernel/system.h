// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace blksnap::kernel {

// Where this folder meets the kernel: system calls, and the roots of its two
// trees. Tests put a model of the module here. Stateless; any thread.
class System {
 public:
  virtual ~System() = default;

  // The running kernel.
  static const System& running();

  // Returns 0 or a positive errno.
  virtual int ioctl(int fd, unsigned long command, void* argument) const;

  // Opens without touching the medium, exclusive holders or the state of the
  // device: read-only, O_NONBLOCK. ENOTBLK if it is no block device.
  virtual Result<UniqueFd> open_device(const std::string& path) const;

  virtual std::string dev() const { return "/dev/"; }
  virtual std::string sys() const { return "/sys/"; }
};

// What a caller may do about an errno of one ioctl.
struct Hint {
  int code;
  std::string_view text;
};

// "TASK (IOCTL): strerror (hint)"; EPERM has a hint of its own.
Error ioctl_error(int code, std::string task, std::string_view ioctl,
                  std::initializer_list<Hint> hints = {});

}  // namespace blksnap::kernel
