// SPDX-License-Identifier: LGPL-2.1-or-later
#include "checkpoint/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>

#include "base/fd.h"

namespace blksnap::checkpoints {
namespace {

// Far above what kMaxNames names need; a limit for what a server reads while a
// client waits.
constexpr std::uint64_t kMaxFileSize = 1024 * 1024;  // bytes

Error too_large(const std::string& path) {
  return refuse(EINVAL, path + " is larger than " +
                            std::to_string(kMaxFileSize) + " bytes");
}

// Held until it is closed.
Result<UniqueFd> lock(const std::string& path) {
  const std::string name = path + ".lock";
  // Who may open it may lock it: nobody else, then, whatever the umask.
  UniqueFd fd(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                     S_IRUSR | S_IWUSR));
  if (!fd) return fail(errno, "open " + name);
  while (::flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return fail(errno, "lock " + name);
  }
  return fd;
}

Result<void> make_default_directory() {
  const std::string directory =
      std::filesystem::path(kDefaultFile).parent_path();
  if (::mkdir(directory.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return fail(errno, "make directory " + directory);
}

}  // namespace

Result<std::vector<Named>> read_names(const io::File& file) {
  if (file.size() > kMaxFileSize) return too_large(file.path());
  std::string text(file.size(), '\0');
  const auto got = file.read(0, std::as_writable_bytes(std::span(text)));
  if (!got) return got.error();
  auto names = decode(text);
  if (!names) return context(file.path(), names.error());
  return names;
}

Result<std::vector<Named>> read_names(const std::string& path) {
  const auto file = io::open_file(path);
  if (file) return read_names(**file);
  if (file.error().code == ENOENT) return std::vector<Named>();
  return file.error();
}

Result<void> check_present(const std::string& path) {
  if (path == kDefaultFile || ::access(path.c_str(), F_OK) == 0) return {};
  return fail(errno, "file of names " + path);
}

Result<void> change_names(const std::string& path, const Change& change) {
  if (path == kDefaultFile) {
    if (auto made = make_default_directory(); !made) return made;
  }
  const auto locked = lock(path);
  if (!locked) return locked.error();
  const auto before = read_names(path);
  if (!before) return before.error();
  std::vector<Named> names = *before;
  if (auto changed = change(names); !changed) return changed;
  if (names == *before) return {};

  const auto text = encode(names);
  if (!text) return context(path, text.error());
  if (text->size() > kMaxFileSize) return too_large(path);
  // For servers that gave up their privileges.
  return io::replace_file(path, std::as_bytes(std::span(*text)), 0644);
}

}  // namespace blksnap::checkpoints
