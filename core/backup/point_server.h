// SPDX-License-Identifier: LGPL-2.1-or-later
// Shows a disk as it was at a point in time over NBD.
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include "base/child_process.h"
#include "base/result.h"
#include "repository/choice.h"

namespace blksnap::backup {

struct PointServerRequest {
  std::string repository;  // path
  std::string point;       // empty: the newest that has the disk
  std::string disk;        // empty: the only one there is
  std::string name;        // of the export; empty: that of the disk
  // Clients may write, into a temporary file that goes with the server.
  bool writable = false;
  // A directory with server-cert.pem and so on, as QEMU has them; every client
  // has to use TLS then. Empty: none.
  std::string tls_certificates;
  bool verify_peer = false;  // clients need a certificate as well
};

// A qemu-nbd that runs for as long as this exists, for any number of clients.
// Holds the points that it reads. For the thread that made it.
class PointServer {
 public:
  // `listening`: a socket, borrowed. Clients may connect at once.
  static Result<PointServer> start(const PointServerRequest& request,
                                   int listening);

  std::string point() const { return chosen_.point().text(); }
  const std::string& disk() const { return chosen_.disk().name; }
  const std::string& export_name() const { return name_; }

  // Has it ended, or does it within this time? It does not by itself.
  bool ended(std::chrono::milliseconds within) { return child_.ended(within); }
  // Why, once it has.
  Error explain();

 private:
  PointServer(repo::ChosenDisk chosen, std::string name, ChildProcess child)
      : chosen_(std::move(chosen)),
        name_(std::move(name)),
        child_(std::move(child)) {}

  repo::ChosenDisk chosen_;
  std::string name_;
  ChildProcess child_;
};

}  // namespace blksnap::backup
