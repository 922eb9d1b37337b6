// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"

namespace blksnap::server {

// The command of --run: /bin/sh -c, with variables in its environment. It is
// given a process group of its own, so that a signal for it reaches all that
// it has started; but not where standard input is a terminal, which only the
// foreground group may read.
class Command {
 public:
  // `signals` is the mask it runs with.
  static Result<Command> start(
      const std::string& script,
      const std::map<std::string, std::string>& variables,
      const sigset_t& signals);

  Command(Command&& other) noexcept;
  Command& operator=(Command&&) = delete;
  // Ends it, if it has not ended.
  ~Command();

  // Its exit status once it has ended, 128 and the signal's number if one
  // ended it. Does not block.
  std::optional<int> ended();

  // Sends it the signal; SIGKILL, if it has not ended after `patience`.
  // Returns the status. SIGCHLD has to be blocked.
  int end(int signal, std::chrono::seconds patience);

 private:
  explicit Command(pid_t pid, bool group) : pid_(pid), group_(group) {}
  void send(int signal) const;

  pid_t pid_;
  bool group_;
  std::optional<int> status_;
};

}  // namespace blksnap::server
