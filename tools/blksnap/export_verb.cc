// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cerrno>
#include <cstdio>
#include <memory>

#include "backup/point_server.h"
#include "interrupt.h"
#include "nbd/listener.h"
#include "point_options.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

struct Values {
  backup::PointServerRequest request;
  std::string socket, address = "127.0.0.1", port;
};

// One socket: qemu-nbd takes no more.
Result<nbd::ListeningSocket> listen_as(const Values& values) {
  if (values.socket.empty() == values.port.empty())
    return refuse(EINVAL, "where to listen? Say --unix SOCKET, or --port PORT");
  if (!values.socket.empty()) return nbd::listen_unix(values.socket);
  auto sockets = nbd::listen_tcp(values.address, values.port);
  if (!sockets) return sockets.error();
  if (sockets->size() != 1)
    return refuse(EINVAL, "--address " + values.address + " stands for " +
                              std::to_string(sockets->size()) +
                              " addresses: name one of them");
  return std::move(sockets->front());
}

Result<ExitStatus> run(const Output& output, const Values& values) {
  if (values.request.verify_peer && values.request.tls_certificates.empty())
    return refuse(EINVAL,
                  "--tls-verify-peer is of no use without --tls-certificates");
  // Before there is a socket that a signal, also of a terminal that is closed,
  // would leave.
  catch_interrupts({SIGINT, SIGTERM, SIGHUP});
  const auto socket = listen_as(values);
  if (!socket) return socket.error();
  auto server = backup::PointServer::start(values.request, socket->fd());
  if (!server) return server.error();
  // What it does not like it says at once.
  if (server->ended(std::chrono::milliseconds(200))) return server->explain();
  output.say_fields({{"point", server->point()},
                     {"disk", server->disk()},
                     {"uri", socket->endpoint().uri(
                                 server->export_name(),
                                 !values.request.tls_certificates.empty())}});
  std::fflush(stdout);
  while (!interrupted())
    if (server->ended(std::chrono::seconds(1))) return server->explain();
  return kSuccess;
}

Run define_export(cli::App options) {
  auto values = std::make_shared<Values>();
  backup::PointServerRequest& request = values->request;
  add_point_options(options, request.repository, request.point, request.disk);
  options
      .add_option("--name", request.name,
                  "of the export; default: that of the disk")
      .type_name("NAME");
  options.add_option("-U,--unix", values->socket, "listen on this socket")
      .type_name("SOCKET");
  options.add_option("-p,--port", values->port, "listen on this TCP port")
      .type_name("PORT");
  options
      .add_option("-i,--ipaddr,--address", values->address,
                  "at this address of the "
                  "machine")
      .type_name("ADDRESS")
      .capture_default_str();
  options.add_flag("--writable", request.writable,
                   "let clients write, into a file that goes with this "
                   "command");
  options
      .add_option("--tls-certificates", request.tls_certificates,
                  "have TLS, with the certificates in this directory")
      .type_name("DIR");
  options.add_flag("--tls-verify-peer", request.verify_peer,
                   "and let in only clients with a certificate");
  return [values](const Output& output) { return run(output, *values); };
}

constexpr Verb kVerbs[] = {
    {"export", "Show a disk as it was at a point in time over NBD",
     "  blksnap export /backup/host -U /run/vdb.sock\n"
     "  blksnap export /backup/host --point 20261122T010203Z --disk vdb \\\n"
     "      --writable -U /run/vdb.sock\n"
     "  blksnap export /backup/host -i 192.0.2.1 -p 10809 \\\n"
     "      --tls-certificates /etc/pki/nbd",
     define_export},
};

}  // namespace

std::span<const Verb> export_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
