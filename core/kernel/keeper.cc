// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/keeper.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/log.h"
#include "base/uuid.h"
#include "kernel/raw_uuid.h"
#include "uapi/blkfilter.h"
#include "uapi/blksnap.h"

namespace blksnap::kernel {

namespace {

// Bytes of what a command of the filter tells, 0 where the command does more
// than to tell.
std::size_t told_by(std::uint32_t filter_command) {
  if (filter_command == BLKFILTER_CTL_BLKSNAP_CBTINFO)
    return sizeof(blksnap_cbtinfo);
  if (filter_command == BLKFILTER_CTL_BLKSNAP_SNAPSHOTINFO)
    return sizeof(blksnap_snapshotinfo);
  return 0;
}

// Closes all but these and the standard ones.
void close_others(const std::set<int>& kept) {
  unsigned next = STDERR_FILENO + 1;
  for (const int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (number < next) continue;
    if (number > next) ::close_range(next, number - 1, 0);
    next = number + 1;
  }
  ::close_range(next, ~0U, 0);
}

}  // namespace

// A question to the child and, sent back, its answer.
struct Keeper::Call {
  std::uint64_t command;
  std::int32_t fd;
  std::int32_t code;  // 0 or errno
  blkfilter_ctl filter;
  union {
    blksnap_uuid snapshot;
    blksnap_cbtinfo cbt;
    blksnap_snapshotinfo image;
  };
};

// All that runs in the child. Its parent may be in other hands: it is believed
// nothing.
class Keeper::Child {
 public:
  Child(const Keeper& keeper, int channel)
      : kernel_(keeper.kernel_),
        channel_(channel),
        descriptors_(keeper.descriptors_),
        snapshots_(keeper.snapshots_) {}

  // Nothing may unwind into what the parent was doing.
  [[noreturn]] void run() noexcept {
    ::prctl(PR_SET_NAME, "blksnap-keeper");
    std::set<int> kept = descriptors_;
    kept.insert(channel_);
    for (const auto& [id, control] : snapshots_) kept.insert(control);
    close_others(kept);

    Call call{};
    while (::recv(channel_, &call, sizeof call, 0) == sizeof call) {
      call.code = answer(call);
      if (::send(channel_, &call, sizeof call, MSG_NOSIGNAL) < 0) break;
    }
    release_the_rest();
    ::_exit(0);
  }

 private:
  int answer(Call& call) {
    if (call.command == BLKSNAP_IOCTL_SNAPSHOT_DESTROY) {
      const auto held = snapshots_.find(from_kernel(call.snapshot));
      if (held == snapshots_.end()) return EPERM;
      const int code =
          kernel_.ioctl(held->second, call.command, &call.snapshot);
      if (code == 0) snapshots_.erase(held);
      return code;
    }
    if (call.command != BLKFILTER_CTL || !descriptors_.contains(call.fd) ||
        told_by(call.filter.cmd) == 0)
      return EPERM;
    call.filter.opt = reinterpret_cast<std::uintptr_t>(&call.cbt);
    call.filter.optlen = static_cast<std::uint32_t>(told_by(call.filter.cmd));
    return kernel_.ioctl(call.fd, BLKFILTER_CTL, &call.filter);
  }

  void release_the_rest() {
    for (const auto& [id, control] : snapshots_) {
      blksnap_uuid raw = to_kernel(id);
      const int code =
          kernel_.ioctl(control, BLKSNAP_IOCTL_SNAPSHOT_DESTROY, &raw);
      if (code == 0) {
        logger().warn("the server died; snapshot {} is released",
                      to_string(id));
      } else {
        logger().error("the server died, and its snapshot {} stays: {}",
                       to_string(id), std::strerror(code));
      }
    }
  }

  const System& kernel_;
  const int channel_;
  const std::set<int> descriptors_;
  std::map<Uuid, int> snapshots_;
};

Keeper::Keeper(const System& kernel) : kernel_(kernel) {}

Keeper::~Keeper() {
  if (child_ < 0) return;
  channel_.reset();
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<void> Keeper::stay_behind() {
  if (descriptors_.empty()) return {};
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return fail(errno, "make a channel to the process that keeps privileges");
  UniqueFd ours(ends[0]), of_child(ends[1]);
  // The child is born deaf to signals, and stays so.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t child = ::fork();
  const int code = errno;
  if (child == 0) Child(*this, of_child.get()).run();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return fail(code, "fork the process that keeps privileges");
  const std::lock_guard lock(mutex_);
  channel_ = std::move(ours);
  child_ = child;
  return {};
}

int Keeper::ioctl(int fd, unsigned long command, void* argument) const {
  const std::lock_guard lock(mutex_);
  if (child_ < 0) return note(fd, command, argument);
  Call call{};
  call.command = command;
  call.fd = fd;
  if (command == BLKSNAP_IOCTL_SNAPSHOT_DESTROY) {
    call.snapshot = *static_cast<blksnap_uuid*>(argument);
    return ask(call);
  }
  if (command != BLKFILTER_CTL) return EPERM;
  auto& filter = *static_cast<blkfilter_ctl*>(argument);
  if (filter.optlen < told_by(filter.cmd)) return EINVAL;
  call.filter = filter;
  const int code = ask(call);
  if (code != 0) return code;
  filter.optlen = call.filter.optlen;
  std::memcpy(reinterpret_cast<void*>(static_cast<std::uintptr_t>(filter.opt)),
              &call.cbt, told_by(filter.cmd));
  return 0;
}

// The kernel's answer, and what there will be to keep.
int Keeper::note(int fd, unsigned long command, void* argument) const {
  const int code = kernel_.ioctl(fd, command, argument);
  if (code != 0) return code;
  descriptors_.insert(fd);
  if (command == BLKSNAP_IOCTL_SNAPSHOT_CREATE) {
    snapshots_[from_kernel(
        static_cast<blksnap_snapshot_create*>(argument)->id)] = fd;
  } else if (command == BLKSNAP_IOCTL_SNAPSHOT_DESTROY) {
    snapshots_.erase(from_kernel(*static_cast<blksnap_uuid*>(argument)));
  }
  return 0;
}

int Keeper::ask(Call& call) const {
  if (::send(channel_.get(), &call, sizeof call, MSG_NOSIGNAL) != sizeof call ||
      ::recv(channel_.get(), &call, sizeof call, 0) != sizeof call)
    return EPIPE;
  return call.code;
}

Result<UniqueFd> Keeper::open_device(const std::string& path) const {
  return kernel_.open_device(path);
}

}  // namespace blksnap::kernel
