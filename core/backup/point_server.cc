// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/point_server.h"

#include <cerrno>
#include <csignal>

#include "qemu/image.h"

namespace blksnap::backup {
namespace {

std::vector<std::string> command(const PointServerRequest& request,
                                 const std::string& name,
                                 const std::string& description,
                                 const std::string& image) {
  // --shared=0: as many clients as want.
  std::vector<std::string> words = {"qemu-nbd",
                                    "--persistent",
                                    "--shared=0",
                                    "--format=qcow2",
                                    "--export-name=" + name,
                                    "--description=" + description};
  words.push_back(request.writable ? "--snapshot" : "--read-only");
  if (!request.tls_certificates.empty())
    words.insert(words.end(),
                 {"--object",
                  std::string("tls-creds-x509,id=tls,endpoint=server,"
                              "verify-peer=") +
                      (request.verify_peer ? "on" : "off") +
                      ",dir=" + qemu::in_option(request.tls_certificates),
                  "--tls-creds=tls"});
  words.push_back(image);
  return words;
}

}  // namespace

Result<PointServer> PointServer::start(const PointServerRequest& request,
                                       int listening) {
  auto chosen =
      repo::ChosenDisk::open(request.repository, request.point, request.disk);
  if (!chosen) return chosen.error();
  std::string name = request.name.empty() ? chosen->disk().name : request.name;
  auto child = ChildProcess::start(
      command(request, name,
              chosen->disk().name + " at " + chosen->point().text(),
              chosen->image()),
      {.listening = listening, .signal = SIGTERM});
  if (!child) return child.error();
  return PointServer(std::move(*chosen), std::move(name), std::move(*child));
}

Error PointServer::explain() {
  const auto done = child_.succeed();
  return done ? refuse(EIO, child_.name() + " has ended") : done.error();
}

}  // namespace blksnap::backup
