// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "nbd/listener.h"
#include "options.h"

namespace blksnap::server {

// A directory in /tmp that only its owner can enter, for a socket; gone with
// this object. What cannot be removed is logged. Movable.
class PrivateDirectory {
 public:
  PrivateDirectory() = default;  // of none
  // It will belong to `owner`, who may have to remove it.
  static Result<PrivateDirectory> make(const Identity& owner);
  PrivateDirectory(PrivateDirectory&& other) noexcept
      : path_(std::exchange(other.path_, {})) {}
  PrivateDirectory& operator=(PrivateDirectory&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~PrivateDirectory();

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct Sockets {
  PrivateDirectory directory;  // goes after the socket that is in it
  std::vector<nbd::ListeningSocket> list;
};

// The sockets that systemd (or whoever speaks its protocol, sd_listen_fds(3))
// has passed to this process, or those that the options ask for: none with a
// connection that is there already, a private one for a command, TCP if
// nothing else is said. Takes the variables of the protocol out of the
// environment. Main thread, once, before there are others.
Result<Sockets> open_sockets(const Options& options);

}  // namespace blksnap::server
