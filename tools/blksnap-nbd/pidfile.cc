// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pidfile.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "base/log.h"
#include "io/file.h"

namespace blksnap::server {

Pidfile::~Pidfile() {
  if (!path_.empty() && ::unlink(path_.c_str()) != 0)
    logger().debug("remove {}: {}", path_, std::strerror(errno));
}

Result<void> Pidfile::write(const std::string& path) {
  const std::string text = std::to_string(::getpid()) + "\n";
  if (auto done = io::replace_file(path, std::as_bytes(std::span(text))); !done)
    return done;
  path_ = path;
  return {};
}

}  // namespace blksnap::server
