// SPDX-License-Identifier: LGPL-2.1-or-later
// A regular file or a block device that is copied to.
#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "copy/target.h"
#include "io/file.h"

namespace blksnap::copy {

// Owns the open file, and holds it for itself, so that two pulls cannot mix
// their bytes.
class FileTarget : public Target {
 public:
  // For a full copy. A regular file is created, or emptied, and given `size`;
  // it is one hole then. A block device must have at least `size` bytes and
  // nobody may use it (EBUSY: it is mounted, say).
  static Result<std::unique_ptr<FileTarget>> create(const std::string& path,
                                                    std::uint64_t size);

  // For an incremental one: the copy that an earlier pull made. Changes
  // nothing yet. EINVAL unless a file has `size` exactly and a block device
  // at least `size`.
  static Result<std::unique_ptr<FileTarget>> open(const std::string& path,
                                                  std::uint64_t size);

  // True for files.
  bool sparse() const override { return !block_device_; }
  Result<void> write(std::uint64_t offset,
                     std::span<const std::byte> data) override;
  Result<void> zero(ByteRange range) override;
  // A new file's name is on stable storage too then.
  Result<void> sync() override;

 private:
  FileTarget() = default;
  static Result<std::unique_ptr<FileTarget>> claim(const std::string& path,
                                                   int flags);
  Result<void> open_file();

  std::string path_;
  UniqueFd claim_;  // holds the lock; of a block device, exclusive use
  std::unique_ptr<io::File> file_;
  bool block_device_ = false;
  bool one_hole_ = false;  // nothing but zeroes in it, but for what we wrote
};

}  // namespace blksnap::copy
