// SPDX-License-Identifier: LGPL-2.1-or-later
// XFS by xfs_db(8), read-only.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <map>

#include "base/child_process.h"
#include "map/files.h"

namespace blksnap::tool {
namespace {

constexpr std::size_t kMostBlocks = 8000;  // each is two arguments of xfs_db

struct Geometry {
  std::uint64_t group_blocks = 0;  // of an allocation group
  std::uint64_t group_shift = 0;
  std::uint64_t block_size = 0;
};

std::vector<std::string> command(const std::string& path) {
  return {"xfs_db", "-r", path};
}

Result<Geometry> read_geometry(const std::string& path) {
  auto words = command(path);
  words.insert(words.begin() + 1,
               {"-c", "sb 0", "-c", "print agblocks agblklog blocksize"});
  const auto told = run_program(words);
  if (!told) return told.error();
  Geometry geometry;
  for_each_line(*told, [&](std::string_view line) {
    const auto value = [&](std::string_view name, std::uint64_t& out) {
      if (line.starts_with(name)) out = parse_number(line.substr(name.size()));
    };
    value("agblocks = ", geometry.group_blocks);
    value("agblklog = ", geometry.group_shift);
    value("blocksize = ", geometry.block_size);
  });
  if (geometry.group_blocks == 0 || geometry.block_size < 512 ||
      geometry.block_size > 65536 || geometry.group_shift > 32)
    return refuse(EIO, "xfs_db tells no geometry of " + path);
  return geometry;
}

// "block 20 (0/20) type data inode 131 var/x.db"; no inode: no file.
struct Use {
  std::uint64_t inode = 0;
  std::string path;
};
Use parse_use(std::string_view line) {
  constexpr std::string_view kInode = " inode ";
  const std::size_t at = line.find(kInode);
  if (at == line.npos) return {};
  line.remove_prefix(at + kInode.size());
  const std::size_t space = std::min(line.find(' '), line.size());
  Use use{parse_number(line.substr(0, space)), ""};
  if (space < line.size()) use.path = "/" + std::string(line.substr(space + 1));
  return use;
}

}  // namespace

Result<std::vector<HotFile>> xfs_files(const std::string& path,
                                       const Scene& scene, const Region& region,
                                       std::size_t count) {
  if (region.range.offset != 0)
    return refuse(EINVAL, "partition " + region.name +
                              " is xfs, and xfs_db finds a file system at the "
                              "beginning of a device alone");
  const auto geometry = read_geometry(path);
  if (!geometry) return geometry.error();
  const ChangedBlocks of = changed_blocks(
      scene, region, static_cast<std::uint32_t>(geometry->block_size),
      kMostBlocks);
  auto words = command(path);
  std::vector<std::string> questions = {"-c", "blockget -n"};
  for (const ChangedBlock& changed : of.blocks) {
    const std::uint64_t group = changed.block / geometry->group_blocks;
    const std::uint64_t within = changed.block % geometry->group_blocks;
    questions.insert(
        questions.end(),
        {"-c",
         "fsblock " + std::to_string((group << geometry->group_shift) | within),
         "-c", "blockuse -n"});
  }
  words.insert(words.begin() + 1, questions.begin(), questions.end());
  const auto told = run_program(words);
  if (!told) return told.error();

  Owners owners;
  std::map<std::uint64_t, std::string> paths;
  std::size_t next = 0;
  for_each_line(*told, [&](std::string_view line) {
    if (!line.starts_with("block ") || next == of.blocks.size()) return;
    Use use = parse_use(line);
    owners.add(use.inode, of.blocks[next++], of);
    paths[use.inode] = std::move(use.path);
  });
  std::vector<HotFile> files;
  for (auto& owner : owners.largest(count)) {
    owner.file.path = owner.inode == 0 ? "(metadata, log or free space)"
                      : paths[owner.inode].empty()
                          ? "(inode " + std::to_string(owner.inode) + ")"
                          : paths[owner.inode];
    files.push_back(std::move(owner.file));
  }
  return files;
}

}  // namespace blksnap::tool
