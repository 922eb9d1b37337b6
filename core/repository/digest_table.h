// SPDX-License-Identifier: LGPL-2.1-or-later
// The digests of an image's blocks: DISK.sums, 32 bytes for each block of 64
// KiB, in order. 32 zeroes stand for what a hole in a qcow2 image stands for:
// this point did not write the block, and it is as in the parent's table, or
// zero where there is no parent. So an incremental backup writes a table as
// sparse as its image, and copies nothing.
//
// "content" in the manifest is the SHA-256 of the whole table with all of that
// filled in: of the SHA-256 (binary) of each 64 KiB of the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "repository/digest.h"

namespace blksnap::repo {

// put() may be called from any thread.
class DigestTable {
 public:
  static Result<DigestTable> create(const std::string& path,
                                    const Blocks& blocks);
  // For more to be put into it.
  static Result<DigestTable> reopen(const std::string& path,
                                    const Blocks& blocks);
  static Result<DigestTable> open(const std::string& path,
                                  const Blocks& blocks);

  Result<void> put(std::uint64_t first, std::span<const Digest> digests) const;
  // Raw entries. EIO where the file is too short.
  Result<void> get(std::uint64_t first, std::span<Digest> digests) const;
  // Where entries may be from block `first` on; blocks.count() if nowhere.
  std::uint64_t next_entries(std::uint64_t first) const;
  // Takes the entries of its parent for blocks that it has none of. What it
  // stands for does not change, at any moment.
  Result<void> adopt(const DigestTable& parent) const;
  Result<void> sync() const;

 private:
  static Result<DigestTable> open(const std::string& path, const Blocks& blocks,
                                  int flags);

  std::string path_;
  std::uint64_t count_ = 0;
  UniqueFd fd_;
};

// A table together with those of its parents.
class DigestChain {
 public:
  // Oldest first.
  DigestChain(const Blocks& blocks, std::vector<DigestTable> tables)
      : blocks_(blocks), tables_(std::move(tables)) {}

  const Blocks& blocks() const { return blocks_; }
  // The digests of blocks from `first` on, filled in.
  Result<void> resolve(std::uint64_t first, std::span<Digest> digests) const;
  // "content" of the manifest.
  Result<Digest> content() const;

 private:
  Blocks blocks_;
  std::vector<DigestTable> tables_;
};

}  // namespace blksnap::repo
