// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/local_server.h"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string_view>

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
  auto socket = PrivateSocket::listen();
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
  return LocalServer(std::move(*socket), std::move(*child));
}

// The server calls a device by the last part of its path.
std::string LocalServer::uri(const std::string& device) const {
  return "nbd+unix:///" + std::filesystem::path(device).filename().string() +
         "?socket=" + socket_.path();
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
