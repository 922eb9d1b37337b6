// SPDX-License-Identifier: LGPL-2.1-or-later
// ext2, ext3, ext4 by debugfs(8), which opens read-only unless told otherwise.
#include <algorithm>
#include <cerrno>

#include "base/child_process.h"
#include "map/files.h"

namespace blksnap::tool {
namespace {

// A look-up walks all inodes, whatever it is asked, so questions are long: as
// many numbers as an argument holds (MAX_ARG_STRLEN, 128 KiB).
constexpr std::size_t kBlocksAtATime = 11000;
constexpr std::size_t kMostBlocks = 6 * kBlocksAtATime;
constexpr std::uint64_t kJournalInode = 8;
constexpr std::uint64_t kFirstFile = 11;  // below it: reserved, but for "/", 2

class Debugfs {
 public:
  Debugfs(const std::string& path, std::uint64_t offset)
      : target_(path + "?offset=" + std::to_string(offset)) {}

  // What it prints below a line that begins with `heading`.
  Result<std::string> ask(const std::string& request,
                          std::string_view heading) const {
    auto output = run_program({"debugfs", "-R", request, target_});
    if (!output) return output.error();
    const std::size_t at = output->find(heading);
    if (at == std::string::npos)
      return refuse(EIO, "debugfs cannot read " + target_);
    return output->substr(at);
  }

 private:
  std::string target_;
};

std::string name_of(std::uint64_t inode) {
  if (inode == 0) return "(metadata, or space of deleted files)";
  if (inode == kJournalInode) return "(journal)";
  if (inode == 2) return "/";
  if (inode < kFirstFile)
    return "(reserved inode " + std::to_string(inode) + ")";
  return "(inode " + std::to_string(inode) + ")";
}

Result<Owners> find_owners(const Debugfs& debugfs, const ChangedBlocks& of) {
  Owners owners;
  for (std::size_t from = 0; from < of.blocks.size(); from += kBlocksAtATime) {
    const std::size_t end = std::min(of.blocks.size(), from + kBlocksAtATime);
    std::string request = "icheck";
    for (std::size_t i = from; i < end; ++i)
      request += " " + std::to_string(of.blocks[i].block);
    const auto told = debugfs.ask(request, "Block\tInode");
    if (!told) return told.error();
    // One line a block, in the order of the question.
    std::size_t next = from;
    for_each_line(*told, [&](std::string_view line) {
      const std::size_t tab = line.find('\t');
      if (next == end || tab == line.npos || line.starts_with("Block")) return;
      if (parse_number(line.substr(0, tab)) == of.blocks[next].block)
        owners.add(parse_number(line.substr(tab + 1)), of.blocks[next], of);
      ++next;
    });
  }
  return owners;
}

Result<void> add_paths(const Debugfs& debugfs,
                       std::vector<Owners::Owner>& owners) {
  std::string request = "ncheck";
  for (Owners::Owner& owner : owners) {
    owner.file.path = name_of(owner.inode);
    if (owner.inode >= kFirstFile) request += " " + std::to_string(owner.inode);
  }
  if (request == "ncheck") return {};
  const auto told = debugfs.ask(request, "Inode\tPathname");
  if (!told) return told.error();
  for_each_line(*told, [&](std::string_view line) {
    const std::size_t tab = line.find('\t');
    if (tab == line.npos) return;
    std::string_view path = line.substr(tab + 1);
    if (path.starts_with("//")) path.remove_prefix(1);
    const std::uint64_t inode = parse_number(line.substr(0, tab));
    for (Owners::Owner& owner : owners)
      if (owner.inode == inode && inode != 0) owner.file.path = path;
  });
  return {};
}

}  // namespace

Result<std::vector<HotFile>> ext4_files(const std::string& path,
                                        const Scene& scene,
                                        const Region& region,
                                        std::size_t count) {
  const Debugfs debugfs(path, region.range.offset);
  constexpr std::string_view kBlockSize = "Block size:";
  const auto told = debugfs.ask("stats -h", kBlockSize);
  if (!told) return told.error();
  const std::uint64_t block_size =
      parse_number(std::string_view(*told).substr(kBlockSize.size()));
  if (block_size < 1024 || block_size > 65536)
    return refuse(EIO, "debugfs tells no block size of " + path);

  const auto owners = find_owners(
      debugfs,
      changed_blocks(scene, region, static_cast<std::uint32_t>(block_size),
                     kMostBlocks));
  if (!owners) return owners.error();
  auto largest = owners->largest(count);
  if (auto good = add_paths(debugfs, largest); !good) return good.error();
  std::vector<HotFile> files;
  for (auto& owner : largest) files.push_back(std::move(owner.file));
  return files;
}

}  // namespace blksnap::tool
