// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "io/file.h"

namespace blksnap::io {
namespace {

Error not_plain(const std::string& path) {
  return refuse(EINVAL, path + " is not a plain file");
}

}  // namespace

Result<UniqueFd> open_plain(const std::string& path, int flags) {
  struct stat st;
  // To open a device may do something already.
  if (::lstat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode))
    return not_plain(path);
  // A fifo and some devices would be waited for without O_NONBLOCK, which means
  // nothing to a plain file.
  UniqueFd fd(::open(path.c_str(),
                     flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                     0600));
  // ELOOP: a symbolic link; ENXIO: a socket, or a fifo without a reader.
  if (!fd)
    return errno == ELOOP || errno == ENXIO ? not_plain(path)
                                            : fail(errno, "open " + path);
  if (::fstat(fd.get(), &st) == -1) return fail(errno, "stat " + path);
  if (!S_ISREG(st.st_mode)) return not_plain(path);
  return fd;
}

Result<std::string> read_beginning(const std::string& path, std::size_t most) {
  const auto fd = open_plain(path, O_RDONLY);
  if (!fd) return fd.error();
  std::string text;
  char part[64 * 1024];
  while (text.size() < most) {
    const ssize_t got =
        ::read(fd->get(), part, std::min(sizeof part, most - text.size()));
    if (got == -1 && errno == EINTR) continue;
    if (got == -1) return fail(errno, "read " + path);
    if (got == 0) break;
    text.append(part, static_cast<std::size_t>(got));
  }
  return text;
}

Result<std::string> read_plain(const std::string& path, std::size_t limit) {
  auto text = read_beginning(path, limit + 1);
  if (text && text->size() > limit)
    return refuse(EFBIG,
                  path + " is larger than " + std::to_string(limit) + " bytes");
  return text;
}

}  // namespace blksnap::io
