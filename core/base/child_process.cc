// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace blksnap {
namespace {

// Above those that the child has at fixed numbers.
constexpr int kFirstOwn = 10;
constexpr int kListening = 3;  // SD_LISTEN_FDS_START
constexpr int kHeld = 4;
constexpr int kNotExecuted = 127;
constexpr std::size_t kComplaint = 1000;

// Everything that the child needs between fork() and exec(), where it may
// neither allocate nor lock: other threads may hold locks.
struct Prepared {
  std::string program;
  std::vector<char*> argv;
  std::vector<std::string> environment;
  std::vector<char*> envp;
  std::string pid_word = "LISTEN_PID=          ";
  UniqueFd null, output, errors, listening, held;
  int signal = SIGKILL;
  pid_t parent = 0;
};

std::string find_program(const std::string& name) {
  if (name.find('/') != name.npos) return name;
  const char* given = std::getenv("PATH");
  // Not everybody's PATH has programs like debugfs.
  const std::string path =
      std::string(given ? given : "/usr/bin:/bin") + ":/usr/sbin:/sbin";
  std::string_view left = path;
  while (!left.empty()) {
    const std::size_t colon = left.find(':');
    const std::string candidate =
        std::string(left.substr(0, colon)) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    left = colon == left.npos ? std::string_view() : left.substr(colon + 1);
  }
  return {};
}

void prepare_environment(Prepared& prepared, bool with_socket) {
  for (char** word = environ; *word; ++word)
    if (std::strncmp(*word, "LISTEN_", 7) != 0 &&
        std::strncmp(*word, "LC_ALL=", 7) != 0)
      prepared.environment.push_back(*word);
  prepared.environment.push_back("LC_ALL=C");
  if (with_socket) prepared.environment.push_back("LISTEN_FDS=1");
  for (std::string& word : prepared.environment)
    prepared.envp.push_back(word.data());
  if (with_socket) prepared.envp.push_back(prepared.pid_word.data());
  prepared.envp.push_back(nullptr);
}

Result<UniqueFd> memory_file() {
  UniqueFd low(::memfd_create("blksnap", MFD_CLOEXEC));
  UniqueFd fd(low ? ::fcntl(low.get(), F_DUPFD_CLOEXEC, kFirstOwn) : -1);
  if (!fd) return fail(errno, "memfd_create");
  return fd;
}

void write_number(char* text, unsigned long number) {
  char digits[20];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  while (count > 0) *text++ = digits[--count];
  *text = '\0';
}

[[noreturn]] void become(Prepared& prepared) {
  ::prctl(PR_SET_PDEATHSIG, prepared.signal);
  if (::getppid() != prepared.parent) ::_exit(kNotExecuted);
  ::setpgid(0, 0);
  ::umask(077);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  const bool placed =
      ::dup2(prepared.null.get(), STDIN_FILENO) != -1 &&
      ::dup2(prepared.output.get(), STDOUT_FILENO) != -1 &&
      ::dup2(prepared.errors.get(), STDERR_FILENO) != -1 &&
      (!prepared.listening ||
       ::dup2(prepared.listening.get(), kListening) != -1) &&
      (!prepared.held || ::dup2(prepared.held.get(), kHeld) != -1);
  write_number(prepared.pid_word.data() + std::strlen("LISTEN_PID="),
               static_cast<unsigned long>(::getpid()));
  if (placed)
    ::execve(prepared.program.c_str(), prepared.argv.data(),
             prepared.envp.data());
  ::dprintf(STDERR_FILENO, "cannot be executed: errno %d\n", errno);
  ::_exit(kNotExecuted);
}

std::string read_all(int fd) {
  std::string text;
  char piece[4096];
  for (;;) {
    const ssize_t got =
        ::pread(fd, piece, sizeof piece, static_cast<off_t>(text.size()));
    if (got == -1 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(piece, static_cast<std::size_t>(got));
  }
}

}  // namespace

Result<ChildProcess> ChildProcess::start(const std::vector<std::string>& argv,
                                         const Options& options) {
  Prepared prepared;
  prepared.program = find_program(argv[0]);
  if (prepared.program.empty())
    return refuse(ENOPKG, argv[0] + ": there is no such program in PATH");
  std::vector<std::string> words = argv;
  for (std::string& word : words) prepared.argv.push_back(word.data());
  prepared.argv.push_back(nullptr);
  prepare_environment(prepared, options.listening != -1);
  prepared.signal = options.signal;
  prepared.parent = ::getpid();

  auto output = memory_file();
  auto errors = memory_file();
  if (!output) return output.error();
  if (!errors) return errors.error();
  prepared.output = std::move(*output);
  prepared.errors = std::move(*errors);
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto own = [](int fd) {
    return UniqueFd(fd == -1 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, kFirstOwn));
  };
  prepared.null = own(null.get());
  prepared.listening = own(options.listening);
  prepared.held = own(options.held);
  if (!prepared.null || (options.listening != -1 && !prepared.listening) ||
      (options.held != -1 && !prepared.held))
    return fail(errno, "start " + argv[0]);

  const pid_t pid = ::fork();
  if (pid == -1) return fail(errno, "start " + argv[0]);
  if (pid == 0) become(prepared);
  ChildProcess child;
  child.name_ = argv[0].substr(argv[0].rfind('/') + 1);
  child.signal_ = options.signal;
  // Nobody else waits for it, so its number is not used again meanwhile.
  child.pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!child.pidfd_) {
    const int code = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return fail(code, "pidfd_open");
  }
  child.output_ = std::move(prepared.output);
  child.errors_ = std::move(prepared.errors);
  return child;
}

ChildProcess::~ChildProcess() {
  if (!pidfd_) return;
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal_, nullptr, 0);
  (void)wait();
}

bool ChildProcess::ended(std::chrono::milliseconds within) {
  if (!pidfd_) return true;
  pollfd waiting{pidfd_.get(), POLLIN, 0};
  return ::poll(&waiting, 1, static_cast<int>(within.count())) == 1;
}

Result<int> ChildProcess::wait() {
  siginfo_t info = {};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) ==
         -1)
    if (errno != EINTR) return fail(errno, "wait for " + name_);
  pidfd_.reset();
  if (info.si_code == CLD_EXITED) return info.si_status;
  return refuse(ECHILD, name_ + " was ended by signal " +
                            std::to_string(info.si_status) + complaint());
}

Result<void> ChildProcess::succeed() {
  const auto status = wait();
  if (!status) return status.error();
  if (*status == 0) return {};
  return refuse(EIO, name_ + " failed" + complaint());
}

std::string ChildProcess::output() const {
  return read_all(output_.get());
}

std::string ChildProcess::complaint() const {
  const std::string all = read_all(errors_.get());
  std::string_view left = all;
  if (left.size() > kComplaint) left.remove_prefix(left.size() - kComplaint);
  const std::string own_name = name_ + ": ";
  std::string text;
  while (!left.empty()) {
    const std::size_t end = left.find('\n');
    std::string_view line = left.substr(0, end);
    left = end == left.npos ? std::string_view() : left.substr(end + 1);
    if (line.starts_with(own_name)) line.remove_prefix(own_name.size());
    if (!line.empty()) text.append(text.empty() ? ": " : "; ").append(line);
  }
  return text;
}

Result<std::string> run_program(const std::vector<std::string>& argv) {
  auto child = ChildProcess::start(argv, {});
  if (!child) return child.error();
  if (auto done = child->succeed(); !done) return done.error();
  return child->output();
}

}  // namespace blksnap
