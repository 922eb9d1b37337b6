// SPDX-License-Identifier: LGPL-2.1-or-later
#include "run_command.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>
#include <vector>

namespace blksnap::server {
namespace {

// The environment of this process, less what is meant for it alone, and the
// variables. Values need no quoting there, whatever is in them.
std::vector<std::string> environment_with(
    const std::map<std::string, std::string>& variables) {
  std::vector<std::string> result;
  for (char** at = environ; *at; ++at) {
    const std::string_view entry = *at;
    const std::string name(entry.substr(0, entry.find('=')));
    if (name != "NOTIFY_SOCKET" && !variables.contains(name))
      result.emplace_back(entry);
  }
  for (const auto& [name, value] : variables)
    result.push_back(name + "=" + value);
  return result;
}

int exit_status(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status)
                                  : WEXITSTATUS(wait_status);
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& one : strings) result.push_back(one.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

Result<Command> Command::start(
    const std::string& script,
    const std::map<std::string, std::string>& variables,
    const sigset_t& signals) {
  const bool group = ::isatty(STDIN_FILENO) == 0;
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK |
                                      (group ? POSIX_SPAWN_SETPGROUP : 0)));
  std::vector<std::string> arguments{"/bin/sh", "-c", script};
  std::vector<std::string> environment = environment_with(variables);
  pid_t pid = -1;
  const int code =
      ::posix_spawn(&pid, "/bin/sh", nullptr, &attributes,
                    pointers(arguments).data(), pointers(environment).data());
  ::posix_spawnattr_destroy(&attributes);
  if (code != 0) return fail(code, "run /bin/sh");
  return Command(pid, group);
}

Command::Command(Command&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      group_(other.group_),
      status_(other.status_) {}

Command::~Command() {
  if (pid_ < 0 || ended()) return;
  end(SIGTERM, std::chrono::seconds(0));
}

std::optional<int> Command::ended() {
  int status = 0;
  if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_)
    status_ = exit_status(status);
  return status_;
}

void Command::send(int signal) const {
  ::kill(group_ ? -pid_ : pid_, signal);
}

int Command::end(int signal, std::chrono::seconds patience) {
  using Clock = std::chrono::steady_clock;
  if (ended()) return *status_;
  send(signal);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  const auto deadline = Clock::now() + patience;
  while (!ended()) {
    const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
        deadline - Clock::now());
    if (left.count() <= 0) {
      send(SIGKILL);
      int status = 0;
      ::waitpid(pid_, &status, 0);
      status_ = exit_status(status);
      break;
    }
    const timespec wait{.tv_sec = left.count() / 1'000'000'000,
                        .tv_nsec = left.count() % 1'000'000'000};
    ::sigtimedwait(&child, nullptr, &wait);
  }
  return *status_;
}

}  // namespace blksnap::server
