// SPDX-License-Identifier: LGPL-2.1-or-later
#include "process.h"

#define NBDKIT_API_VERSION 2
#include <dirent.h>
#include <nbdkit-plugin.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/log.h"
#include "export/open.h"

using namespace blksnap;

namespace {

// Sends the log where nbdkit's own messages go: to syslog, once it is in the
// background.
void log_by_nbdkit(LogLevel level, const std::string& line) {
  if (level >= LogLevel::kWarning)
    nbdkit_error("%s", line.c_str());
  else
    nbdkit_debug("%s", line.c_str());
}

// The descriptors that are open now, in order.
std::vector<int> open_descriptors() {
  std::vector<int> found;
  DIR* const folder = ::opendir("/proc/self/fd");
  if (!folder) return found;
  while (const dirent* entry = ::readdir(folder)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != ::dirfd(folder)) found.push_back(fd);
  }
  ::closedir(folder);
  std::sort(found.begin(), found.end());
  return found;
}

Error bad_address(const std::string& address) {
  return refuse(EINVAL,
                "bitmaps=" + address + ": want unix:PATH, or tcp:HOST:PORT");
}

// Binds, and does not accept yet.
Result<std::vector<nbd::ListeningSocket>> listen(const std::string& address) {
  constexpr std::string_view unix_prefix = "unix:", tcp_prefix = "tcp:";
  std::vector<nbd::ListeningSocket> sockets;
  if (address.starts_with(unix_prefix)) {
    auto socket = nbd::listen_unix(address.substr(unix_prefix.size()));
    if (!socket) return socket.error();
    sockets.push_back(std::move(*socket));
    return sockets;
  }
  // The last colon, as IPv6 addresses have some of their own.
  const std::size_t colon = address.rfind(':');
  if (!address.starts_with(tcp_prefix) || colon < tcp_prefix.size())
    return bad_address(address);
  std::string host =
      address.substr(tcp_prefix.size(), colon - tcp_prefix.size());
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return nbd::listen_tcp(host, address.substr(colon + 1));
}

// Not destroyed before exit() or dlclose(): see Process.
std::unique_ptr<Process> the_process;

}  // namespace

Process& process() {
  if (!the_process) {
    the_process = std::make_unique<Process>();
    send_log_to(log_by_nbdkit);
  }
  return *the_process;
}

Result<void> Process::set(std::string_view key, const char* value) {
  if (key != "bitmaps") return settings_.set(key, value);
  bitmaps_.push_back(value);
  return {};
}

Result<void> Process::open() {
  const std::vector<int> before = open_descriptors();
  // Listeners first: whatever is wrong with them shows before file systems are
  // frozen for a snapshot.
  for (const std::string& address : bitmaps_) {
    auto sockets = listen(address);
    if (!sockets) return sockets.error();
    std::move(sockets->begin(), sockets->end(), std::back_inserter(listeners_));
  }
  auto catalogue = exports::open_catalogue(settings_, keeper_);
  if (!catalogue) return catalogue.error();
  catalogue_ = std::move(*catalogue);
  if (auto kept = keeper_.stay_behind(); !kept) return kept.error();
  const std::vector<int> after = open_descriptors();
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(),
                      std::back_inserter(descriptors_));
  if (const int code = ::pthread_atfork(nullptr, forget_in_parent, nullptr))
    return fail(code, "pthread_atfork");
  return {};
}

void Process::forget_in_parent() {
  // A later fork, by a filter that runs a program: we are the ones who serve.
  if (!the_process || the_process->serving_) return;
  for (const int fd : the_process->descriptors_) ::close(fd);
  // Never destroyed: it would destroy the snapshot, and remove the sockets.
  static_cast<void>(the_process.release());
}

Result<void> Process::start() {
  serving_ = true;
  if (listeners_.empty()) return {};
  server_ = std::make_unique<nbd::Server>(catalogue_);
  for (nbd::ListeningSocket& listener : listeners_)
    server_->add_listener(std::move(listener));
  listeners_.clear();
  server_->start();
  return {};
}

void Process::close() {
  server_.reset();
  listeners_.clear();
  catalogue_.reset();
}

const char* config_help() {
  static const std::string help =
      std::string(kSettingsHelp) +
      "  bitmaps=ADDRESS   also serve by our own server, which offers the\n"
      "                    dirty bitmaps: unix:PATH or tcp:HOST:PORT";
  return help.c_str();
}
