// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <signal.h>

#include "base/fd.h"
#include "base/result.h"

namespace blksnap::server {

// What the main thread waits for while others serve.
//
// Blocks the signals that end the server, and SIGCHLD, in this thread and in
// those that it makes later: they wait until they are asked for, so that none
// can end the process with a snapshot left behind. Made once, before any
// thread.
class StopEvents {
 public:
  static Result<StopEvents> make();

  // The mask that programs we start should have.
  const sigset_t& mask_before() const { return before_; }

  // What wait() returns for connection_ended().
  static constexpr int kConnectionEnded = 0;
  // Any thread.
  void connection_ended() const;

  // SIGINT, SIGTERM, SIGHUP, SIGCHLD or kConnectionEnded.
  Result<int> wait() const;

 private:
  StopEvents() = default;

  sigset_t before_;
  UniqueFd signals_;
  UniqueFd ended_;
};

}  // namespace blksnap::server
