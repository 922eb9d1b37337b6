// SPDX-License-Identifier: LGPL-2.1-or-later
// A program that runs for us and ends with us.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace blksnap {

// The kernel ends the child when the thread that started it ends, in whatever
// way: that thread has to live as long as the child is needed. The child has no
// terminal, and a process group of its own, so that Ctrl-C is for us to handle.
// It speaks no language but C.
class ChildProcess {
 public:
  struct Options {
    // A listening socket, passed as systemd does; -1: none.
    int listening = -1;
    // A descriptor that stays open for as long as the child lives; -1: none.
    int held = -1;
    // What it is ended with.
    int signal = 9;
  };
  // argv[0] is looked for in PATH, and among the administrator's programs,
  // unless it has a '/'. ENOPKG: there is no such program.
  static Result<ChildProcess> start(const std::vector<std::string>& argv,
                                    const Options& options);

  ChildProcess(ChildProcess&&) = default;
  ChildProcess& operator=(ChildProcess&&) = delete;
  // Ends it, if it has not ended, and waits for that.
  ~ChildProcess();

  // Until it has ended. Its exit status; an error if a signal ended it.
  Result<int> wait();
  // As wait(), with anything but 0 as an error that has its standard error.
  Result<void> succeed();
  // Has it ended, or does it within this time?
  bool ended(std::chrono::milliseconds within);

  const std::string& name() const { return name_; }
  std::string output() const;  // standard output so far
  // Standard error so far, the last lines of it, as one, after ": "; without
  // the program's name at their beginnings. Empty if there is none.
  std::string complaint() const;

 private:
  ChildProcess() = default;

  std::string name_;
  int signal_ = 9;
  UniqueFd pidfd_;  // none: it has been waited for
  UniqueFd output_;
  UniqueFd errors_;
};

// Starts a program and waits for it: its standard output, or an error that says
// what it complained about (EIO).
Result<std::string> run_program(const std::vector<std::string>& argv);

}  // namespace blksnap
