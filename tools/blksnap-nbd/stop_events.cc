// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stop_events.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>

namespace blksnap::server {

Result<StopEvents> StopEvents::make() {
  StopEvents made;
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD})
    sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, &made.before_);
  // Whoever ignores SIGCHLD hands that on, and the status of its children to
  // nobody.
  ::signal(SIGCHLD, SIG_DFL);
  made.signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!made.signals_) return fail(errno, "signalfd");
  made.ended_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!made.ended_) return fail(errno, "eventfd");
  return made;
}

void StopEvents::connection_ended() const {
  ::eventfd_write(ended_.get(), 1);
}

Result<int> StopEvents::wait() const {
  pollfd wait[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                   {.fd = ended_.get(), .events = POLLIN, .revents = 0}};
  while (::poll(wait, 2, -1) < 0) {
    if (errno != EINTR) return fail(errno, "wait for signals");
  }
  if (wait[0].revents == 0) return kConnectionEnded;
  signalfd_siginfo info;
  if (::read(signals_.get(), &info, sizeof info) != sizeof info)
    return fail(errno, "wait for signals");
  return static_cast<int>(info.ssi_signo);
}

}  // namespace blksnap::server
