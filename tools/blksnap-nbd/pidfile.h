// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/result.h"

namespace blksnap::server {

// A file with the number of this process in it. Removed with this object; if
// that fails, as it may without the privileges that made it, it is logged.
class Pidfile {
 public:
  Pidfile() = default;
  Pidfile(const Pidfile&) = delete;
  Pidfile& operator=(const Pidfile&) = delete;
  ~Pidfile();

  // Appears under its name with its content, or not at all. Once.
  Result<void> write(const std::string& path);

 private:
  std::string path_;
};

}  // namespace blksnap::server
