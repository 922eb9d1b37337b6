// SPDX-License-Identifier: LGPL-2.1-or-later
// The one seam to files and block devices. Tests put a fault-injecting
// implementation in its place (io/fault_file.h).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/range.h"
#include "base/result.h"

namespace blksnap::io {

// An open file or block device of a size that does not change. Offsets and
// lengths are in bytes. All calls may come from any thread at the same time;
// they block. Errors name the operation, the path and the place.
class File {
 public:
  explicit File(std::string path) : path_(std::move(path)) {}
  virtual ~File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // As it was opened; for messages.
  const std::string& path() const { return path_; }

  // Bytes, when it was opened.
  virtual std::uint64_t size() const = 0;

  // Bytes of which offsets and lengths should be multiples. A power of two; 1
  // for plain files.
  virtual std::uint32_t block_size() const = 0;

  // Fills `buffer`, or fails: EIO "... end of file" where the file ends first.
  virtual Result<void> read(std::uint64_t offset,
                            std::span<std::byte> buffer) const = 0;

  // Fills `buffer` if that takes no waiting for a disk. False where it would,
  // or fails, or where nobody can tell: ask read() then.
  virtual bool read_now(std::uint64_t offset,
                        std::span<std::byte> buffer) const = 0;

  // May the range be sent from native_fd(), with sendfile(2)? True where it is
  // in the page cache, as far as the kernel tells; false where reads had better
  // not go through the page cache.
  virtual bool cached(ByteRange range) const = 0;

  // Starts to read the range, or its beginning, into the page cache. A hint:
  // it succeeds where there is nothing to be done.
  virtual Result<void> cache(ByteRange range) const = 0;

  // Writes all of `data`, or fails; some of it may be written then.
  virtual Result<void> write(std::uint64_t offset,
                             std::span<const std::byte> data) = 0;

  // What was written before this call is on stable storage after it.
  virtual Result<void> flush() = 0;

  // The range reads as zeroes afterwards. `may_trim`: its space may be given
  // back. `fast_only`: EOPNOTSUPP where this would not be quicker than write().
  virtual Result<void> zero(ByteRange range, bool may_trim, bool fast_only) = 0;

  // The content of the range is not needed any more. A hint: succeeds where
  // nothing can be given back; what the range reads as is undefined.
  virtual Result<void> trim(ByteRange range) = 0;

  // A run of data, or of a hole that reads as zeroes and takes no space.
  struct Run {
    std::uint64_t end = 0;  // at most size()
    bool data = true;
  };
  // The run that `offset`, below size(), lies in. Where holes cannot be found
  // (block devices, some file systems) everything is data.
  virtual Result<Run> run_at(std::uint64_t offset) const = 0;

  // For sendfile(2) and the like; -1 where there is none. Owned by the File;
  // its file position is undefined.
  virtual int native_fd() const = 0;

 private:
  std::string path_;
};

struct OpenOptions {
  bool writable = false;
  // Read large pieces past the page cache (O_DIRECT), so that a whole device
  // can be read and what others have in the cache stays. Small ones go through
  // it: whoever reads them is likely to come back, or to read on.
  bool bypass_cache = false;
};

// A plain file or a block device; EINVAL for anything else.
Result<std::unique_ptr<File>> open_file(const std::string& path,
                                        OpenOptions options = {});

// Does the block device at `path` say that seeking takes it time? False for
// anything else, and where nobody can tell.
bool rotational(const std::string& path);

// Opens a plain file that has this name itself, with open(2)'s `flags`: no
// symbolic link, no device, and nothing that could be waited for. EINVAL for
// anything else.
Result<UniqueFd> open_plain(const std::string& path, int flags);
// Reads the first bytes of such a file, `most` of them if there are so many.
Result<std::string> read_beginning(const std::string& path, std::size_t most);
// Reads all of such a file. EFBIG where it has more than `limit` bytes.
Result<std::string> read_plain(const std::string& path, std::size_t limit);

// Makes `content` all that is in the file of this name, which need not exist
// yet. Crash rule: a temporary file beside it is written and flushed before it
// is renamed, and the directory is flushed after it, so that at any time the
// name stands for the whole old or the whole new content. It has this mode,
// whatever the umask is; without one, 0666 & ~umask.
Result<void> replace_file(const std::string& path,
                          std::span<const std::byte> content,
                          std::optional<mode_t> mode = {});

// Flushes a file, or the names in a directory, to stable storage.
Result<void> sync_path(const std::string& path);

}  // namespace blksnap::io
