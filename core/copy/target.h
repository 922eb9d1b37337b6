// SPDX-License-Identifier: LGPL-2.1-or-later
// Where a pull writes to: a regular file, or a block device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/range.h"
#include "base/result.h"
#include "io/file.h"

namespace blksnap::copy {

// Owns the open file, and holds it for itself, so that two pulls cannot mix
// their bytes. Offsets and lengths are in bytes. Not for several threads at
// once.
class Target {
 public:
  // For a full copy. A regular file is created, or emptied, and given `size`;
  // it is one hole then. A block device must have at least `size` bytes and
  // nobody may use it (EBUSY: it is mounted, say).
  static Result<Target> create(const std::string& path, std::uint64_t size);

  // For an incremental one: the copy that an earlier pull made. Changes
  // nothing yet. EINVAL unless a file has `size` exactly and a block device
  // at least `size`.
  static Result<Target> open(const std::string& path, std::uint64_t size);

  // Does it pay to look for zeroes in what was read? True for files.
  bool sparse() const { return !block_device_; }

  Result<void> write(std::uint64_t offset, std::span<const std::byte> data);
  // Makes the range read as zeroes, as a hole where that can be had.
  Result<void> zero(ByteRange range);
  // Everything is on stable storage after this, a new file's name included.
  Result<void> sync();

 private:
  Target() = default;
  static Result<Target> claim(const std::string& path, int flags);
  Result<void> open_file();

  std::string path_;
  UniqueFd claim_;  // holds the lock; of a block device, exclusive use
  std::unique_ptr<io::File> file_;
  bool block_device_ = false;
  bool one_hole_ = false;  // nothing but zeroes in it, but for what we wrote
};

}  // namespace blksnap::copy
