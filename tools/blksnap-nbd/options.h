// SPDX-License-Identifier: LGPL-2.1-or-later
// The command line of blksnap-nbd. What to serve comes as words, the same that
// the nbdkit plugin takes; everything else as options, spelled as nbdkit
// spells them where it has them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/settings.h"
#include "nbd/listener.h"
#include "nbd/server.h"
#include "privileges.h"
#include "tls.h"

namespace blksnap::server {

struct Options {
  // Where to listen.
  std::string unix_path;  // "-" is a private one
  nbd::SocketAccess unix_access;
  std::string port;
  std::string address;
  bool vsock = false;
  std::optional<int> connected_fd;

  // Who may do what.
  Identity identity;  // to serve as
  TlsOptions tls;

  // The process.
  std::string command;  // of --run
  std::string export_name;
  std::string pidfile;
  std::string log_level = "info";
  std::string log_format = "text";
  std::string metrics;  // where to listen; "" is nowhere

  nbd::ServerOptions limits;  // the allow list among them
  Settings settings;

  bool asks_for_listener() const {
    return !unix_path.empty() || !port.empty() || !address.empty() || vsock;
  }
};

// What the command line says, checked as far as it can be without touching
// anything but the user database; or the exit status of a program that has
// nothing more to do, as after --help.
struct Parsed {
  Options options;
  std::optional<int> exit_status;
};
Result<Parsed> parse_options(int argc, char** argv);

}  // namespace blksnap::server
