// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/local_server.h"

#include <cerrno>
#include <csignal>
#include <string_view>

#include "base/device_names.h"
#include "base/format.h"

namespace blksnap::backup {
namespace {

constexpr std::chrono::milliseconds kDying{500};

// The last line of a log that has nothing but errors, without the time.
std::string last_error(const std::string& log) {
  constexpr std::string_view kBefore = " blksnap error: ";
  const std::size_t at = log.rfind(kBefore);
  return at == log.npos ? "" : log.substr(at + kBefore.size());
}

}  // namespace

Result<LocalServer> LocalServer::start(const Settings& settings) {
  auto socket = qemu::PrivateSocket::listen();
  if (!socket) return socket.error();
  std::vector<std::string> words = {settings.program};
  for (const std::string& device : settings.devices)
    words.push_back("device=" + device);
  words.push_back("diff=" + settings.diff);
  words.push_back("limit=" + settings.limit);
  words.push_back("--log-level=error");
  // With SIGTERM it says goodbye to its clients, and cleans up.
  auto child = ChildProcess::start(
      words, {.listening = socket->listening(), .signal = SIGTERM});
  if (!child) return child.error();
  socket->close();
  const std::vector<std::string> names = device_names(settings.devices);
  std::map<std::string, std::string> export_of;
  for (std::size_t i = 0; i < names.size(); ++i)
    export_of[settings.devices[i]] = names[i];
  return LocalServer(std::move(*socket), std::move(*child),
                     std::move(export_of));
}

std::string LocalServer::uri(const std::string& device) const {
  return "nbd+unix:///" + percent_encoded(export_of_.at(device)) +
         "?socket=" + percent_encoded(socket_.path());
}

Error LocalServer::explain(Error error) {
  if (error.code == ECANCELED) return error;
  if (!child_.ended(kDying)) {
    if (const std::string said = last_error(child_.complaint()); !said.empty())
      error.message += "; the server says: " + said;
    return error;
  }
  if (auto done = child_.succeed(); !done)
    error.message = done.error().message + "; " + error.message;
  return error;
}

}  // namespace blksnap::backup
