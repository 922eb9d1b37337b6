// SPDX-License-Identifier: LGPL-2.1-or-later
#include "traced_child.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <stdexcept>

namespace blksnap {

#ifdef __x86_64__

namespace {

// The child has nothing to print: under the thread sanitizer _exit() writes
// what stdio holds, which would be one of its calls.
pid_t fork_flushed() {
  std::fflush(nullptr);
  return ::fork();
}

constexpr long kFileCalls[] = {
    SYS_openat, SYS_open,   SYS_close, SYS_read,      SYS_pread64, SYS_write,
    SYS_fsync,  SYS_rename, SYS_flock, SYS_unlink,    SYS_fchmod,  SYS_mkdir,
    SYS_stat,   SYS_fstat,  SYS_lseek, SYS_newfstatat};

bool about_files(long call) {
  return std::find(std::begin(kFileCalls), std::end(kFileCalls), call) !=
         std::end(kFileCalls);
}

constexpr std::size_t kNever = SIZE_MAX;
constexpr int kKill = -1;

// Follows the child from one stop to the next.
class Tracer {
 public:
  explicit Tracer(pid_t child) : child_(child) {}

  // False once the child is gone.
  bool next_stop() {
    if (::ptrace(PTRACE_SYSCALL, child_, nullptr, nullptr) != 0) return false;
    return ::waitpid(child_, &status_, 0) == child_ && WIFSTOPPED(status_);
  }
  bool at_call() const { return WSTOPSIG(status_) == (SIGTRAP | 0x80); }

  user_regs_struct registers() const {
    user_regs_struct all{};
    ::ptrace(PTRACE_GETREGS, child_, nullptr, &all);
    return all;
  }
  void set(user_regs_struct all) const {
    ::ptrace(PTRACE_SETREGS, child_, nullptr, &all);
  }
  int status() const { return status_; }

 private:
  const pid_t child_;
  int status_ = 0;
};

// `code`: errno, or kKill.
Traced follow(pid_t child, std::size_t at, int code) {
  Traced traced;
  Tracer tracer(child);
  while (tracer.next_stop()) {
    if (!tracer.at_call()) continue;
    auto registers = tracer.registers();
    const auto call = static_cast<long>(registers.orig_rax);
    const bool counts = about_files(call);
    const bool chosen = counts && traced.calls.size() == at;
    if (counts) traced.calls.push_back(call);
    if (chosen && code == kKill) {
      ::kill(child, SIGKILL);
      int gone = 0;
      ::waitpid(child, &gone, 0);
      return traced;
    }
    if (chosen) {
      registers.orig_rax = ~0ull;  // no such call: nothing is done
      tracer.set(registers);
    }
    if (!tracer.next_stop()) break;  // the end of the call
    if (chosen) {
      registers = tracer.registers();
      registers.rax = static_cast<std::uint64_t>(-std::int64_t{code});
      tracer.set(registers);
    }
  }
  if (WIFEXITED(tracer.status())) traced.result = WEXITSTATUS(tracer.status());
  return traced;
}

Traced run(std::size_t at, int code, const std::function<int()>& body) {
  const pid_t child = fork_flushed();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) throw std::runtime_error("no stop of the child");
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr,
           PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  return follow(child, at, code);
}

}  // namespace

bool can_trace() {
  const pid_t child = fork_flushed();
  if (child == 0)
    ::_exit(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 ? 0 : 1);
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

Traced trace(const std::function<int()>& body) {
  return run(kNever, kKill, body);
}

Traced kill_at(std::size_t calls, const std::function<int()>& body) {
  return run(calls, kKill, body);
}

Traced fail_at(std::size_t calls, int code, const std::function<int()>& body) {
  return run(calls, code, body);
}

#else

bool can_trace() {
  return false;
}
Traced trace(const std::function<int()>&) {
  return {};
}
Traced kill_at(std::size_t, const std::function<int()>&) {
  return {};
}
Traced fail_at(std::size_t, int, const std::function<int()>&) {
  return {};
}

#endif

}  // namespace blksnap
