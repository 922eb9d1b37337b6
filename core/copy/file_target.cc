// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy/file_target.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace blksnap::copy {
namespace {

std::string sizes(const std::string& path, std::uint64_t has,
                  std::uint64_t wanted) {
  return path + " has " + std::to_string(has) + " bytes, the export has " +
         std::to_string(wanted);
}

// QEMU locks bytes of an image with F_OFD_SETLK (its block/file-posix.c): from
// RAW_LOCK_PERM_BASE on one for each permission that it has, and from
// RAW_LOCK_SHARED_BASE on one for each that it denies to others.
constexpr off_t kQemuLocks[] = {100, 200};

struct flock qemu_lock(short type, off_t start) {
  constexpr off_t kPermissions = 5;
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = kPermissions;
  return lock;
}

// Keeps QEMU from opening the file. EBUSY: it has it open, to read or to write.
// Locks first and tests then, as QEMU does: if both come at once, at least one
// of them refuses.
Result<void> lock_out_qemu(int fd, const std::string& path) {
  for (const off_t start : kQemuLocks) {
    struct flock lock = qemu_lock(F_RDLCK, start);
    // The test finds out who is in the way.
    if (::fcntl(fd, F_OFD_SETLK, &lock) == -1 && errno != EAGAIN &&
        errno != EACCES)
      return fail(errno, "lock " + path);
  }
  for (const off_t start : kQemuLocks) {
    struct flock lock = qemu_lock(F_WRLCK, start);
    if (::fcntl(fd, F_OFD_GETLK, &lock) == -1)
      return fail(errno, "lock " + path);
    if (lock.l_type != F_UNLCK)
      return refuse(EBUSY, path + ": QEMU, or another program, has it open");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<FileTarget>> FileTarget::claim(const std::string& path,
                                                      int flags) {
  std::unique_ptr<FileTarget> made(new FileTarget);
  FileTarget& target = *made;
  target.path_ = path;
  struct stat st;
  if (::stat(path.c_str(), &st) == 0) {
    // Looked at before it is opened: opening a fifo would wait.
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
      return refuse(EINVAL,
                    path + ": neither a regular file nor a block device");
    target.block_device_ = S_ISBLK(st.st_mode);
  }
  // O_EXCL without O_CREAT: no block device that is mounted, or part of
  // something, may be overwritten.
  if (target.block_device_) flags = (flags & ~O_CREAT) | O_EXCL;
  // Readable by its owner only: it will hold what a whole disk holds.
  target.claim_.reset(::open(path.c_str(), flags | O_RDWR | O_CLOEXEC, 0600));
  if (!target.claim_) return fail(errno, "open " + path);
  // (A block device is locked now and then by udev, and is ours by O_EXCL.)
  if (!target.block_device_ &&
      ::flock(target.claim_.get(), LOCK_EX | LOCK_NB) == -1)
    return errno == EWOULDBLOCK
               ? refuse(EBUSY, path + ": another program has it locked")
               : fail(errno, "lock " + path);
  if (auto locked = lock_out_qemu(target.claim_.get(), path); !locked)
    return locked.error();
  return made;
}

Result<void> FileTarget::open_file() {
  auto file = io::open_file(path_, {.writable = true});
  if (!file) return file.error();
  file_ = std::move(*file);
  return {};
}

Result<std::unique_ptr<FileTarget>> FileTarget::create(const std::string& path,
                                                       std::uint64_t size) {
  auto claimed = claim(path, O_CREAT);
  if (!claimed) return claimed;
  FileTarget& target = **claimed;
  if (!target.block_device_) {
    const int fd = target.claim_.get();
    if (::ftruncate(fd, 0) == -1 ||
        ::ftruncate(fd, static_cast<off_t>(size)) == -1)
      return fail(errno, "resize " + path);
    target.one_hole_ = true;
  }
  if (auto opened = target.open_file(); !opened) return opened.error();
  if (target.file_->size() < size)
    return refuse(EINVAL, sizes(path, target.file_->size(), size));
  return claimed;
}

Result<std::unique_ptr<FileTarget>> FileTarget::open(const std::string& path,
                                                     std::uint64_t size) {
  auto claimed = claim(path, 0);
  if (!claimed) return claimed;
  FileTarget& target = **claimed;
  if (auto opened = target.open_file(); !opened) return opened.error();
  const std::uint64_t has = target.file_->size();
  if (has < size || (has > size && !target.block_device_))
    return refuse(EINVAL, sizes(path, has, size) + ": not a copy of it");
  return claimed;
}

Result<void> FileTarget::write(std::uint64_t offset,
                               std::span<const std::byte> data) {
  return file_->write(offset, data);
}

Result<void> FileTarget::zero(ByteRange range) {
  // No byte is written twice, so what is to be zero is a hole still.
  if (one_hole_) return {};
  return file_->zero(range, /*may_trim=*/true, /*fast_only=*/false);
}

Result<void> FileTarget::sync() {
  if (auto flushed = file_->flush(); !flushed) return flushed;
  if (!one_hole_) return {};
  // It may be new: its name has to survive a crash as well.
  std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  if (folder.empty()) folder = ".";
  UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) == -1)
    return fail(errno, "sync " + folder.string());
  return {};
}

}  // namespace blksnap::copy
