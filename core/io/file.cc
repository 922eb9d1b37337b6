// SPDX-License-Identifier: LGPL-2.1-or-later
#include "io/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/fd.h"

namespace blksnap::io {
namespace {

constexpr std::uint32_t kDirectAlignment = 4096;
constexpr std::size_t kZeroPiece = 1024 * 1024;
// Nobody gets a whole device read with one small request.
constexpr std::uint64_t kCacheAhead = 32 * 1024 * 1024;

bool unsupported(int code) {
  // ENODEV is what ext4 gives for a block-mapped file, EINVAL what a block
  // device gives for a range that is not made of whole blocks.
  return code == EOPNOTSUPP || code == ENOSYS || code == ENODEV ||
         code == EINVAL;
}

class PosixFile : public File {
 public:
  PosixFile(std::string path, UniqueFd fd, std::uint64_t size, bool device,
            std::uint32_t block_size)
      : File(std::move(path)),
        fd_(std::move(fd)),
        size_(size),
        device_(device),
        block_size_(block_size) {}

  std::uint64_t size() const override { return size_; }
  std::uint32_t block_size() const override { return block_size_; }
  int native_fd() const override { return fd_.get(); }

  Result<void> read(std::uint64_t offset,
                    std::span<std::byte> buffer) const override;
  Result<void> cache(ByteRange range) const override;
  Result<void> write(std::uint64_t offset,
                     std::span<const std::byte> data) override;
  Result<void> flush() override;
  Result<void> zero(ByteRange range, bool may_trim, bool fast_only) override;
  Result<void> trim(ByteRange range) override;
  Result<Run> run_at(std::uint64_t offset) const override;

 private:
  std::string at(const char* what, std::uint64_t offset,
                 std::uint64_t length) const {
    return std::string(what) + " " + path() + " at " + std::to_string(offset) +
           "+" + std::to_string(length);
  }
  // 0 or errno.
  int allocate(int mode, ByteRange range) const;
  Result<void> write_zeroes(ByteRange range);

  const UniqueFd fd_;
  const std::uint64_t size_;
  const bool device_;
  const std::uint32_t block_size_;
};

Result<void> PosixFile::read(std::uint64_t offset,
                             std::span<std::byte> buffer) const {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got =
        ::pread(fd_.get(), buffer.data() + done, buffer.size() - done,
                static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      return fail(errno, at("read", offset + done, buffer.size() - done));
    }
    if (got == 0) {
      return refuse(EIO, at("read", offset + done, buffer.size() - done) +
                             ": end of file");
    }
    done += static_cast<std::size_t>(got);
  }
  return {};
}

Result<void> PosixFile::cache(ByteRange range) const {
  ::posix_fadvise(
      fd_.get(), static_cast<off_t>(range.offset),
      static_cast<off_t>(std::min<std::uint64_t>(range.length, kCacheAhead)),
      POSIX_FADV_WILLNEED);
  return {};
}

Result<void> PosixFile::write(std::uint64_t offset,
                              std::span<const std::byte> data) {
  std::size_t done = 0;
  while (done < data.size()) {
    const ssize_t put =
        ::pwrite(fd_.get(), data.data() + done, data.size() - done,
                 static_cast<off_t>(offset + done));
    if (put < 0) {
      if (errno == EINTR) continue;
      return fail(errno, at("write", offset + done, data.size() - done));
    }
    done += static_cast<std::size_t>(put);
  }
  return {};
}

Result<void> PosixFile::flush() {
  if (::fdatasync(fd_.get()) == 0) return {};
  return fail(errno, "flush " + path());
}

int PosixFile::allocate(int mode, ByteRange range) const {
  while (::fallocate(fd_.get(), mode | FALLOC_FL_KEEP_SIZE,
                     static_cast<off_t>(range.offset),
                     static_cast<off_t>(range.length)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

Result<void> PosixFile::write_zeroes(ByteRange range) {
  const std::vector<std::byte> zeroes(
      std::min<std::uint64_t>(range.length, kZeroPiece));
  while (!range.empty()) {
    const std::size_t piece =
        std::min<std::uint64_t>(range.length, zeroes.size());
    const auto written =
        write(range.offset, std::span(zeroes).subspan(0, piece));
    if (!written) return written;
    range = {range.offset + piece, range.length - piece};
  }
  return {};
}

Result<void> PosixFile::zero(ByteRange range, bool may_trim, bool fast_only) {
  if (range.empty()) return {};
  int code = EOPNOTSUPP;
  // On block devices, too, punching leaves zeroes behind or fails.
  if (may_trim) code = allocate(FALLOC_FL_PUNCH_HOLE, range);
  // ZERO_RANGE of a block device may write every block: that is not fast.
  if (unsupported(code) && !(fast_only && device_)) {
    code = allocate(FALLOC_FL_ZERO_RANGE, range);
  }
  if (code == 0) return {};
  if (!unsupported(code)) {
    return fail(code, at("zero", range.offset, range.length));
  }
  if (fast_only) {
    return fail(EOPNOTSUPP, at("zero", range.offset, range.length));
  }
  return write_zeroes(range);
}

Result<void> PosixFile::trim(ByteRange range) {
  int code = 0;
  if (device_) {
    // BLKDISCARD takes whole blocks only; what sticks out is kept.
    const std::uint64_t mask = block_size_ - 1;
    const std::uint64_t start = (range.offset + mask) & ~mask;
    const std::uint64_t end = range.end() & ~mask;
    if (start >= end) return {};
    std::uint64_t whole[2] = {start, end - start};
    if (::ioctl(fd_.get(), BLKDISCARD, whole) != 0) code = errno;
  } else if (!range.empty()) {
    code = allocate(FALLOC_FL_PUNCH_HOLE, range);
  }
  if (code == 0 || unsupported(code)) return {};
  return fail(code, at("trim", range.offset, range.length));
}

Result<File::Run> PosixFile::run_at(std::uint64_t offset) const {
  const off_t from = static_cast<off_t>(offset);
  const off_t data = ::lseek(fd_.get(), from, SEEK_DATA);
  if (data > from) {
    return Run{std::min<std::uint64_t>(static_cast<std::uint64_t>(data), size_),
               false};
  }
  if (data < 0) {
    if (unsupported(errno)) return Run{size_, true};
    if (errno != ENXIO) return fail(errno, "find data in " + path());
    // No data from here to the end; but the end may have moved to before us.
    struct stat now;
    if (::fstat(fd_.get(), &now) != 0) return fail(errno, "stat " + path());
    if (static_cast<std::uint64_t>(now.st_size) < size_) {
      return refuse(EIO, path() + " is shorter than when it was opened");
    }
    return Run{size_, false};
  }
  const off_t hole = ::lseek(fd_.get(), from, SEEK_HOLE);
  if (hole <= from) return Run{size_, true};
  return Run{std::min<std::uint64_t>(static_cast<std::uint64_t>(hole), size_),
             true};
}

}  // namespace

Result<std::unique_ptr<File>> open_file(const std::string& path,
                                        OpenOptions options) {
  // Looked at first, since opening a FIFO would wait for its other end.
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return fail(errno, "open " + path);
  const bool device = S_ISBLK(info.st_mode);
  if (!device && !S_ISREG(info.st_mode)) {
    return refuse(EINVAL, path + " is neither a file nor a block device");
  }
  UniqueFd fd(::open(path.c_str(), (options.writable ? O_RDWR : O_RDONLY) |
                                       (options.direct ? O_DIRECT : 0) |
                                       O_CLOEXEC));
  if (!fd) {
    return fail(errno, "open " + path +
                           (options.writable ? " for writing" : "") +
                           (options.direct ? " past the page cache" : ""));
  }

  std::uint64_t size = 0;
  std::uint32_t block_size = options.direct ? kDirectAlignment : 1;
  if (device) {
    int sector = 0;
    if (::ioctl(fd.get(), BLKGETSIZE64, &size) != 0 ||
        ::ioctl(fd.get(), BLKSSZGET, &sector) != 0) {
      return fail(errno, "size of " + path);
    }
    block_size = static_cast<std::uint32_t>(sector);
  } else {
    if (::fstat(fd.get(), &info) != 0) return fail(errno, "stat " + path);
    size = static_cast<std::uint64_t>(info.st_size);
  }
  return std::make_unique<PosixFile>(path, std::move(fd), size, device,
                                     block_size);
}

}  // namespace blksnap::io
