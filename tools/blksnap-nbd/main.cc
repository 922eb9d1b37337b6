// SPDX-License-Identifier: LGPL-2.1-or-later
// blksnap-nbd: the stand-alone NBD server, from its command line to its exit
// status.
#include <fcntl.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <malloc.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/printable.h"
#include "export/open.h"
#include "kernel/keeper.h"
#include "metrics.h"
#include "metrics_endpoint.h"
#include "nbd/server.h"
#include "options.h"
#include "pidfile.h"
#include "privileges.h"
#include "run_command.h"
#include "sockets.h"
#include "stop_events.h"
#include "tls.h"

namespace blksnap::server {
namespace {

// For a command to end after a signal.
constexpr std::chrono::seconds kCommandPatience{5};

// Tells whoever started us, if he asked to be told (NOTIFY_SOCKET).
void notify(const char* state) {
  if (const int code = ::sd_notify(/*unset_environment=*/0, state); code < 0)
    logger().warn("notify {}: {}", state, std::strerror(-code));
}

// The connected socket of --fd. Whoever starts a server for one connection may
// make it all of its standard descriptors (inetd does): what is said there
// would be read as NBD.
Result<UniqueFd> connected_socket(int fd) {
  struct stat connection, other;
  if (::fstat(fd, &connection) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return fail(errno, "--fd=" + std::to_string(fd));
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (standard == fd || ::fstat(standard, &other) != 0 ||
        other.st_dev != connection.st_dev || other.st_ino != connection.st_ino)
      continue;
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null || ::dup2(null.get(), standard) < 0)
      return fail(errno, "open /dev/null");
  }
  return UniqueFd(fd);
}

Result<Command> run(const Options& options, const nbd::Endpoint& endpoint,
                    const StopEvents& events) {
  const std::string uri =
      endpoint.uri(options.export_name, options.tls.required);
  return Command::start(options.command,
                        {{"uri", uri},
                         {"nbd", uri},
                         {"unixsocket", endpoint.path},
                         {"port", endpoint.port},
                         {"exportname", options.export_name}},
                        events.mask_before());
}

void log_limits(const nbd::ServerOptions& limits) {
  logger().debug(
      "limits: {} connections, {} s for a handshake; a connection: {} "
      "requests, {} bytes; {} threads",
      limits.max_connections,
      std::chrono::duration_cast<std::chrono::seconds>(limits.handshake_timeout)
          .count(),
      limits.requests_in_flight, limits.bytes_in_flight, limits.workers);
}

// Until there is a reason to end: a signal, the command's end or the
// connection's. The signal, or 0.
Result<int> wait_for_end(const StopEvents& events,
                         std::optional<Command>& command) {
  for (;;) {
    const auto event = events.wait();
    if (!event || *event == StopEvents::kConnectionEnded) return event;
    if (*event != SIGCHLD) return event;
    if (command && command->ended()) return 0;
  }
}

// Returns the exit status.
Result<int> serve(const Options& options) {
  // First: from now on signals wait.
  const auto events = StopEvents::make();
  if (!events) return events.error();

  // While files that only root may read can be read.
  auto credentials = load_credentials(options.tls);
  if (!credentials) return credentials.error();

  // Sockets before devices: whatever is wrong with them shows before file
  // systems are frozen for a snapshot. Clients that connect early wait.
  auto sockets = open_sockets(options);
  if (!sockets) return sockets.error();
  std::vector<nbd::ListeningSocket> metrics_sockets;
  if (!options.metrics.empty()) {
    auto listening = listen_for_metrics(options.metrics);
    if (!listening) return context("--metrics", listening.error());
    metrics_sockets = std::move(*listening);
  }
  UniqueFd connected;
  if (options.connected_fd) {
    auto socket = connected_socket(*options.connected_fd);
    if (!socket) return socket.error();
    connected = std::move(*socket);
  }

  kernel::Keeper keeper;
  auto opened = exports::open_catalogue(
      options.settings, options.identity ? keeper : kernel::System::running());
  if (!opened) return opened.error();
  const std::shared_ptr<const exports::Catalogue> catalogue =
      std::move(opened.value());
  if (!options.export_name.empty()) {
    if (auto found = catalogue->find(options.export_name); !found)
      return context("--exportname", found.error());
  }

  // All that needs privileges, and all that forks, before there are threads.
  if (options.identity) {
    if (auto kept = keeper.stay_behind(); !kept) return kept.error();
  }
  Pidfile pidfile;
  if (!options.pidfile.empty()) {
    if (auto written = pidfile.write(options.pidfile); !written)
      return written.error();
  }
  std::optional<Command> command;
  if (!options.command.empty()) {
    auto started = run(options, sockets->list.front().endpoint(), *events);
    if (!started) return started.error();
    command.emplace(std::move(*started));
  }
  if (auto became = become(options.identity); !became) return became.error();

  log_limits(options.limits);
  nbd::ServerOptions limits = options.limits;
  limits.tls = std::move(*credentials);
  nbd::Server server(catalogue, std::move(limits));
  for (auto& socket : sockets->list) {
    logger().info(
        "listening on {}",
        socket.endpoint().uri(options.export_name, options.tls.required));
    server.add_listener(std::move(socket));
  }
  server.start();
  std::optional<MetricsEndpoint> metrics;
  if (!metrics_sockets.empty())
    metrics.emplace(std::move(metrics_sockets),
                    [&server] { return metrics_text(server.totals()); });
  if (connected) {
    auto served = server.serve(std::move(connected),
                               "fd " + std::to_string(*options.connected_fd),
                               [&events] { events->connection_ended(); });
    if (!served) return served.error();
  }
  notify("READY=1");

  const auto signal = wait_for_end(*events, command);
  if (!signal) return signal.error();
  if (*signal != 0) logger().info("stopping: {}", ::strsignal(*signal));
  notify("STOPPING=1");
  int status = 0;
  if (command) status = command->end(*signal, kCommandPatience);
  server.stop();
  return status;
}

int fail_with(const Error& error) {
  std::fprintf(stderr, "blksnap-nbd: %s\n", printable(error.message).c_str());
  return 1;
}

int run(int argc, char** argv) {
  const auto parsed = parse_options(argc, argv);
  if (!parsed) return fail_with(parsed.error());
  if (parsed->exit_status) return *parsed->exit_status;
  if (auto set = set_log_level(parsed->options.log_level); !set)
    return fail_with(context("--log-level", set.error()));
  if (auto set = set_log_format(parsed->options.log_format); !set)
    return fail_with(context("--log-format", set.error()));
  const auto status = serve(parsed->options);
  return status ? *status : fail_with(status.error());
}

}  // namespace
}  // namespace blksnap::server

int main(int argc, char** argv) {
  // Buffers of requests go back to the system when they are freed. By default
  // glibc keeps such large ones, for each thread, once it has seen some.
  ::mallopt(M_MMAP_THRESHOLD, 128 * 1024);
  try {
    return blksnap::server::run(argc, argv);
  } catch (const std::exception& error) {  // out of memory, and bugs
    return blksnap::server::fail_with({EINVAL, error.what()});
  }
}
