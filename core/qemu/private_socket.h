// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace blksnap::qemu {

// A listening Unix socket in a folder of its own, that only this user can
// reach. Who connects before the server runs waits in its queue, so nobody has
// to find out when the server is ready.
class PrivateSocket {
 public:
  static Result<PrivateSocket> listen();

  PrivateSocket(PrivateSocket&& other) = default;
  PrivateSocket& operator=(PrivateSocket&&) = delete;
  ~PrivateSocket();  // removes its name

  const std::string& path() const { return path_; }
  int listening() const { return listening_.get(); }
  // To be called when the server has it: with the server gone, clients are
  // hung up on then.
  void close() { listening_.reset(); }

  Result<UniqueFd> connect() const;

 private:
  PrivateSocket() = default;

  std::string folder_, path_;
  UniqueFd listening_;
};

}  // namespace blksnap::qemu
