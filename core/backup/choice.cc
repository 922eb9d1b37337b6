// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/choice.h"

#include <cerrno>
#include <utility>

namespace blksnap::backup {

Result<Choice> choose(const Listing& listing, const std::string& path,
                      const std::string& point, const std::string& disk) {
  for (auto at = listing.points.rbegin(); at != listing.points.rend(); ++at) {
    if (!point.empty() && at->name.text() != point) continue;
    const auto& disks = at->manifest.disks;
    const DiskRecord* record = at->manifest.find(disk);
    if (disk.empty()) {
      if (disks.size() > 1)
        return refuse(EINVAL, "point " + at->name.text() +
                                  " has several disks: name one with --disk");
      if (!disks.empty()) record = &disks.front();
    }
    if (record) return Choice{&*at, record};
  }
  return refuse(ENOENT,
                path + ": there is no such point, or it has no such disk");
}

Result<ChosenDisk> ChosenDisk::open(const std::string& path,
                                    const std::string& point,
                                    const std::string& disk) {
  auto repository = Repository::open(path);
  if (!repository) return repository.error();
  auto listing = repository->list();
  if (!listing) return listing.error();
  ChosenDisk chosen(std::move(*repository), std::move(*listing));
  const auto choice = choose(chosen.listing_, path, point, disk);
  if (!choice) return choice.error();
  chosen.disk_ = choice->disk;
  auto chain =
      Repository::chain(chosen.listing_, *choice->point, choice->disk->name);
  if (!chain) return chain.error();
  chosen.chain_ = std::move(*chain);
  auto held = chosen.repository_.hold(chosen.chain_);
  if (!held) return held.error();
  chosen.held_ = std::move(*held);
  return chosen;
}

Result<DigestChain> ChosenDisk::digests() const {
  const Blocks blocks(disk_->size);
  auto tables = repository_.tables(chain_, disk_->name, blocks);
  if (!tables) return tables.error();
  return DigestChain(blocks, std::move(*tables));
}

}  // namespace blksnap::backup
