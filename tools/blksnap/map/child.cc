// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/fd.h"

namespace blksnap::tool {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings)
    pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> environment() {
  std::vector<std::string> variables = {"LC_ALL=C"};
  for (char** variable = environ; *variable; ++variable)
    if (std::strncmp(*variable, "LC_ALL=", 7) != 0)
      variables.emplace_back(*variable);
  return variables;
}

std::string content_of(int fd) {
  std::string content;
  char buffer[65536];
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(fd, buffer, sizeof(buffer), at);
    if (got <= 0) return content;
    content.append(buffer, static_cast<std::size_t>(got));
    at += got;
  }
}

std::string last_line(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  const std::size_t newline = text.rfind('\n');
  return std::string(newline == text.npos ? text : text.substr(newline + 1));
}

// 0, or errno.
int spawn(const std::vector<std::string>& command, int out, int err,
          pid_t& pid) {
  posix_spawn_file_actions_t actions;
  if (const int error = posix_spawn_file_actions_init(&actions)) return error;
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  const auto variables = environment();
  const auto arguments = pointers(command);
  const auto envp = pointers(variables);
  int error = ENOENT;
  // Administrators' tools are not in everybody's PATH.
  for (const std::string& program :
       {command.front(), "/usr/sbin/" + command.front()})
    if (error == ENOENT)
      error = posix_spawnp(&pid, program.c_str(), &actions, nullptr,
                           arguments.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

Result<ChildOutput> run_child(const std::vector<std::string>& command) {
  // Files in memory: a child that writes much to both never waits for us.
  const UniqueFd out(::memfd_create("stdout", MFD_CLOEXEC));
  const UniqueFd err(::memfd_create("stderr", MFD_CLOEXEC));
  if (!out || !err) return fail(errno, "memfd_create");
  pid_t pid = 0;
  if (const int error = spawn(command, out.get(), err.get(), pid))
    return fail(error, "run " + command.front());
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail(errno, "wait for " + command.front());
  ChildOutput output{content_of(out.get()), content_of(err.get())};
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return refuse(EIO, command.front() + " failed: " + last_line(output.err));
  return output;
}

}  // namespace blksnap::tool
