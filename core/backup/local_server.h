// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/child_process.h"
#include "base/result.h"
#include "qemu/private_socket.h"

namespace blksnap::backup {

// A blksnap-nbd of our own, with one snapshot of the devices that are named. It
// ends with us, however we end, and the snapshot with it. For the thread that
// made it, which has to live as long.
class LocalServer {
 public:
  struct Settings {
    std::string program;
    std::vector<std::string> devices;  // paths
    std::string diff;                  // as blksnap-nbd(8) has them
    std::string limit;
  };
  // Returns at once: who connects waits until the snapshot is taken.
  static Result<LocalServer> start(const Settings& settings);

  // Returns the URI of the export of a device, which is named as in Settings.
  std::string uri(const std::string& device) const;
  // Adds the server's last words to an error, if it has failed or logged an
  // error: NBD itself tells a client no more than a number. Call it once.
  Error explain(Error error);

 private:
  LocalServer(qemu::PrivateSocket socket, ChildProcess child,
              std::map<std::string, std::string> export_of)
      : socket_(std::move(socket)),
        child_(std::move(child)),
        export_of_(std::move(export_of)) {}

  qemu::PrivateSocket socket_;
  ChildProcess child_;
  std::map<std::string, std::string> export_of_;  // its name, by the device
};

}  // namespace blksnap::backup
