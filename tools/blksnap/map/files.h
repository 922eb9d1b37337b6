// SPDX-License-Identifier: LGPL-2.1-or-later
// The files behind what changed, by the file systems' own tools, which only
// read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "map/scene.h"

namespace blksnap::tool {

// Adds the `count` files with the most bytes in changed blocks to
// scene.files, the largest first, and a note on each partition of which that
// cannot be told. `path` is the device or image that scene.regions are of. All
// of a changed block counts for the files that lie in it: that is what a backup
// copies.
void find_files(const std::string& path, std::size_t count, Scene& scene);

// For the file systems: who owns the blocks of one?
struct ChangedBlock {
  std::uint64_t block = 0;   // of the file system
  std::uint64_t offset = 0;  // on the device
  std::uint8_t number = 0;
};
// Blocks of `block_size` bytes of a region that changed. Of more than `most`
// every nth one, which then stands for n.
struct ChangedBlocks {
  std::vector<ChangedBlock> blocks;
  std::uint64_t bytes_each = 0;  // that one stands for
  std::uint32_t block_size = 0;
};
ChangedBlocks changed_blocks(const Scene& scene, const Region& region,
                             std::uint32_t block_size, std::size_t most);

// Sums up what each owner has; owners are inodes, 0 is whatever is no file.
class Owners {
 public:
  void add(std::uint64_t inode, const ChangedBlock& block,
           const ChangedBlocks& of);
  // The largest, without paths.
  struct Owner {
    std::uint64_t inode = 0;
    HotFile file;
  };
  std::vector<Owner> largest(std::size_t count) const;

 private:
  std::map<std::uint64_t, HotFile> files_;
};

std::uint64_t parse_number(std::string_view text);  // 0 where it is none
void for_each_line(const std::string& text,
                   const std::function<void(std::string_view)>& use);

Result<std::vector<HotFile>> ext4_files(const std::string& path,
                                        const Scene& scene,
                                        const Region& region,
                                        std::size_t count);
Result<std::vector<HotFile>> xfs_files(const std::string& path,
                                       const Scene& scene, const Region& region,
                                       std::size_t count);

}  // namespace blksnap::tool
