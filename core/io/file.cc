// SPDX-License-Identifier: LGPL-2.1-or-later
#include "io/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "base/fd.h"

namespace blksnap::io {
namespace {

constexpr std::size_t kZeroPiece = 1024 * 1024;
// From this size on a read can go past the page cache: the sizes of those who
// copy devices, above what file systems and guests read at random.
constexpr std::size_t kLarge = 64 * 1024;
// What an address has to be a multiple of there: enough for every driver.
constexpr std::size_t kDirectAddress = 4096;
// Where a caller's is not: bytes read at a time, to be copied.
constexpr std::size_t kBouncePiece = 1024 * 1024;
// Where the kernel does not tell which pages are in memory: one look at a page
// per so many bytes.
constexpr std::uint64_t kSample = 64 * 1024;
// Nobody gets a whole device read with one small request.
constexpr std::uint64_t kCacheAhead = 32 * 1024 * 1024;

bool unsupported(int code) {
  // ENODEV is what ext4 gives for a block-mapped file, EINVAL what a block
  // device gives for a range that is not made of whole blocks.
  return code == EOPNOTSUPP || code == ENOSYS || code == ENODEV ||
         code == EINVAL;
}

// cachestat(2), which glibc and the headers of Debian 12 do not know yet:
// include/uapi/linux/mman.h and the system call tables of Linux 6.5.
constexpr long kCacheStat = 451;
struct CacheStatRange {
  std::uint64_t offset;
  std::uint64_t length;
};
struct CacheStat {
  std::uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

class PosixFile : public File {
 public:
  // `direct`: the same with O_DIRECT, or none.
  PosixFile(std::string path, UniqueFd fd, UniqueFd direct, std::uint64_t size,
            bool device, std::uint32_t block_size)
      : File(std::move(path)),
        fd_(std::move(fd)),
        direct_(std::move(direct)),
        size_(size),
        device_(device),
        block_size_(block_size) {}

  std::uint64_t size() const override { return size_; }
  std::uint32_t block_size() const override { return block_size_; }
  int native_fd() const override { return fd_.get(); }

  Result<void> read(std::uint64_t offset,
                    std::span<std::byte> buffer) const override;
  bool read_now(std::uint64_t offset,
                std::span<std::byte> buffer) const override;
  bool cached(ByteRange range) const override;
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
  // What offsets and sizes have to be multiples of to go past the cache. No
  // file system asks for more.
  std::uint32_t direct_unit() const { return device_ ? block_size_ : 4096; }
  bool goes_direct(std::uint64_t offset, std::size_t size) const;
  Result<void> read_from(int fd, std::uint64_t offset,
                         std::span<std::byte> buffer) const;
  // 0 or errno.
  int allocate(int mode, ByteRange range) const;
  Result<void> write_zeroes(ByteRange range);

  const UniqueFd fd_;
  const UniqueFd direct_;
  const std::uint64_t size_;
  const bool device_;
  const std::uint32_t block_size_;
};

bool PosixFile::goes_direct(std::uint64_t offset, std::size_t size) const {
  return direct_ && size >= kLarge && ((offset | size) % direct_unit()) == 0;
}

Result<void> PosixFile::read(std::uint64_t offset,
                             std::span<std::byte> buffer) const {
  if (!goes_direct(offset, buffer.size()))
    return read_from(fd_.get(), offset, buffer);
  if (reinterpret_cast<std::uintptr_t>(buffer.data()) % kDirectAddress == 0)
    return read_from(direct_.get(), offset, buffer);
  const std::size_t size = std::min(buffer.size(), kBouncePiece);
  const std::unique_ptr<std::byte, decltype(&std::free)> bounce(
      static_cast<std::byte*>(std::aligned_alloc(
          kDirectAddress,
          (size + kDirectAddress - 1) / kDirectAddress * kDirectAddress)),
      &std::free);
  if (!bounce) return fail(ENOMEM, at("read", offset, buffer.size()));
  while (!buffer.empty()) {
    const std::size_t piece = std::min(buffer.size(), size);
    if (auto got = read_from(direct_.get(), offset, {bounce.get(), piece});
        !got)
      return got;
    std::memcpy(buffer.data(), bounce.get(), piece);
    buffer = buffer.subspan(piece);
    offset += piece;
  }
  return {};
}

Result<void> PosixFile::read_from(int fd, std::uint64_t offset,
                                  std::span<std::byte> buffer) const {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got = ::pread(fd, buffer.data() + done, buffer.size() - done,
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

bool PosixFile::read_now(std::uint64_t offset,
                         std::span<std::byte> buffer) const {
  if (goes_direct(offset, buffer.size())) return false;
  const iovec into{buffer.data(), buffer.size()};
  const ssize_t got =
      ::preadv2(fd_.get(), &into, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  return got >= 0 && static_cast<std::size_t>(got) == buffer.size();
}

bool PosixFile::cached(ByteRange range) const {
  if (direct_ || range.empty() || range.end() > size_) return false;
  const std::uint64_t page = static_cast<std::uint64_t>(::getpagesize());
  const CacheStatRange asked{range.offset, range.length};
  CacheStat told{};
  if (::syscall(kCacheStat, fd_.get(), &asked, &told, 0) == 0) {
    const std::uint64_t pages =
        (range.end() - 1) / page - range.offset / page + 1;
    return told.cached == pages;
  }
  // Before Linux 6.5, and for files of others since 6.13.
  std::byte byte;
  for (std::uint64_t at = range.offset; at < range.end(); at += kSample)
    if (!read_now(at, {&byte, 1})) return false;
  return read_now(range.end() - 1, {&byte, 1});
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
  // Linux knows no holes of block devices. And to ask is not free: a seek waits
  // for the reads that are under way there, and new reads wait for the seek.
  if (device_) return Run{size_, true};
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
  UniqueFd fd(
      ::open(path.c_str(), (options.writable ? O_RDWR : O_RDONLY) | O_CLOEXEC));
  if (!fd) {
    return fail(errno,
                "open " + path + (options.writable ? " for writing" : ""));
  }
  // Some file systems refuse: then everything goes through the cache.
  UniqueFd direct;
  if (options.bypass_cache)
    direct = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));

  std::uint64_t size = 0;
  std::uint32_t block_size = 1;
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
  return std::make_unique<PosixFile>(path, std::move(fd), std::move(direct),
                                     size, device, block_size);
}

bool rotational(const std::string& path) {
  // Looked at first, as above.
  struct stat info;
  if (::stat(path.c_str(), &info) != 0 || !S_ISBLK(info.st_mode)) return false;
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  unsigned short answer = 0;
  return fd && ::ioctl(fd.get(), BLKROTATIONAL, &answer) == 0 && answer != 0;
}

}  // namespace blksnap::io
