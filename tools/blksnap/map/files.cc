// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/files.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace blksnap::tool {

ChangedBlocks changed_blocks(const Scene& scene, const Region& region,
                             std::uint32_t block_size, std::size_t most) {
  const cbt::ChangeMap& map = scene.map;
  const std::uint64_t blocks = region.range.length / block_size;
  const auto number_at = [&](std::uint64_t block) {
    const std::uint64_t at = region.range.offset + block * block_size;
    // One of the file system may be larger than one of the map.
    const std::uint64_t last = (at + block_size - 1) / map.block_size();
    std::uint8_t newest = 0;
    for (std::uint64_t i = at / map.block_size(); i <= last; ++i)
      newest = std::max(newest, map.bytes()[i]);
    return newest > scene.since ? newest : std::uint8_t{0};
  };
  std::uint64_t changed = 0;
  for (std::uint64_t block = 0; block < blocks; ++block)
    changed += number_at(block) != 0;
  const std::uint64_t every = changed / most + 1;

  ChangedBlocks found{{}, every * block_size, block_size};
  std::uint64_t seen = 0;
  for (std::uint64_t block = 0; block < blocks; ++block)
    if (const std::uint8_t number = number_at(block))
      if (seen++ % every == 0)
        found.blocks.push_back(
            {block, region.range.offset + block * block_size, number});
  return found;
}

void Owners::add(std::uint64_t inode, const ChangedBlock& block,
                 const ChangedBlocks& of) {
  HotFile& file = files_[inode];
  file.changed += of.bytes_each;
  file.newest = std::max(file.newest, block.number);
  if (!file.places.empty() && file.places.back().end() == block.offset)
    file.places.back().length += of.block_size;
  else
    file.places.push_back({block.offset, of.block_size});
}

std::vector<Owners::Owner> Owners::largest(std::size_t count) const {
  std::vector<Owner> owners;
  for (const auto& [inode, file] : files_) owners.push_back({inode, file});
  std::stable_sort(owners.begin(), owners.end(),
                   [](const Owner& a, const Owner& b) {
                     return a.file.changed > b.file.changed;
                   });
  owners.resize(std::min(owners.size(), count));
  return owners;
}

std::uint64_t parse_number(std::string_view text) {
  std::uint64_t number = 0;
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(' ')));
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

void for_each_line(const std::string& text,
                   const std::function<void(std::string_view)>& use) {
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    use(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
}

void find_files(const std::string& path, std::size_t count, Scene& scene) {
  for (const Region& region : scene.regions) {
    if (scene.heat().tally(region.range).changed() == 0) continue;
    const bool ext = region.type.starts_with("ext");
    if (!ext && region.type != "xfs") {
      scene.notes.push_back(
          (scene.partitioned ? "partition " + region.name : path) +
          ": files can be told of ext4 and xfs alone, and this is " +
          (region.type.empty() ? "neither" : region.type));
      continue;
    }
    auto files = ext ? ext4_files(path, scene, region, count)
                     : xfs_files(path, scene, region, count);
    if (!files) {
      const char* package = ext ? "e2fsprogs" : "xfsprogs";
      scene.notes.push_back(
          "files cannot be told: " + files.error().message +
          (files.error().code == ENOPKG
               ? std::string("; install the package ") + package
               : ""));
      continue;
    }
    for (HotFile& file : *files) {
      file.region = region.name;
      scene.files.push_back(std::move(file));
    }
  }
  std::stable_sort(
      scene.files.begin(), scene.files.end(),
      [](const HotFile& a, const HotFile& b) { return a.changed > b.changed; });
  scene.files.resize(std::min(scene.files.size(), count));
}

}  // namespace blksnap::tool
