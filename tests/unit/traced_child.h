// SPDX-License-Identifier: LGPL-2.1-or-later
// A child process that is stopped, killed or made to fail at one of its system
// calls: for what has to hold wherever a program dies or a disk fails.
#pragma once

#include <functional>
#include <vector>

namespace blksnap {

// What a child has done.
struct Traced {
  // Numbers of its system calls that have to do with files, in order: those
  // that were begun.
  std::vector<long> calls;
  // What `body` returned; -1 if it was killed before.
  int result = -1;
};

// Can this machine do it? x86-64, and ptrace(2) is allowed.
bool can_trace();

// Runs `body` in a child of this process.
Traced trace(const std::function<int()>& body);
// The call after `calls` of them (0: the first) is where SIGKILL comes, before
// it has done anything.
Traced kill_at(std::size_t calls, const std::function<int()>& body);
// It does nothing, and gives `code` instead.
Traced fail_at(std::size_t calls, int code, const std::function<int()>& body);

}  // namespace blksnap
