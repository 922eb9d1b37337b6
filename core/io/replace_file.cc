// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/fd.h"
#include "io/file.h"

namespace blksnap::io {
namespace {

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> write_and_flush(int fd, const std::string& path,
                             std::span<const std::byte> content) {
  while (!content.empty()) {
    const ssize_t put = ::write(fd, content.data(), content.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      return fail(errno, "write " + path);
    }
    content = content.subspan(static_cast<std::size_t>(put));
  }
  if (::fsync(fd) != 0) return fail(errno, "flush " + path);
  return {};
}

}  // namespace

Result<void> replace_file(const std::string& path,
                          std::span<const std::byte> content,
                          std::optional<mode_t> mode) {
  // The process id keeps two writers of one name apart; a file left by a
  // crash of an earlier process with this id is nobody's any more.
  const std::string temporary =
      path + "." + std::to_string(::getpid()) + ".tmp";
  ::unlink(temporary.c_str());
  UniqueFd file(::open(temporary.c_str(),
                       O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                       0666));
  if (!file) return fail(errno, "create " + temporary);

  Result<void> done;
  if (mode && ::fchmod(file.get(), *mode) != 0)
    done = fail(errno, "set the mode of " + temporary);
  if (done) done = write_and_flush(file.get(), temporary, content);
  if (done && ::rename(temporary.c_str(), path.c_str()) != 0) {
    done = fail(errno, "rename " + temporary + " to " + path);
  }
  if (!done) {
    ::unlink(temporary.c_str());
    return done;
  }

  return sync_path(directory_of(path));
}

Result<void> sync_path(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return fail(errno, "flush " + path);
  return {};
}

}  // namespace blksnap::io
