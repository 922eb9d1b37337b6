// SPDX-License-Identifier: LGPL-2.1-or-later
#include "qemu/private_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace blksnap::qemu {
namespace {

constexpr int kQueue = 64;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

UniqueFd make_socket() {
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

}  // namespace

Result<PrivateSocket> PrivateSocket::listen() {
  PrivateSocket made;
  // Not TMPDIR: the path of a socket has to be short.
  std::string folder = "/tmp/blksnap-XXXXXX";
  if (!::mkdtemp(folder.data())) return fail(errno, "make " + folder);
  made.folder_ = folder;
  made.path_ = folder + "/socket";
  made.listening_ = make_socket();
  const sockaddr_un address = address_of(made.path_);
  if (!made.listening_ ||
      ::bind(made.listening_.get(), reinterpret_cast<const sockaddr*>(&address),
             sizeof address) == -1 ||
      ::listen(made.listening_.get(), kQueue) == -1)
    return fail(errno, "listen on " + made.path_);
  return made;
}

PrivateSocket::~PrivateSocket() {
  if (folder_.empty()) return;  // moved from
  ::unlink(path_.c_str());
  ::rmdir(folder_.c_str());
}

Result<UniqueFd> PrivateSocket::connect() const {
  UniqueFd fd = make_socket();
  const sockaddr_un address = address_of(path_);
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                       sizeof address) == -1)
    return fail(errno, "connect to " + path_);
  return fd;
}

}  // namespace blksnap::qemu
