// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/inspection.h"

#include <algorithm>
#include <cerrno>

#include "qemu/image.h"
#include "repository/soundness.h"

namespace blksnap::backup {
namespace {

using copy::CopyPlan;

// Flags of base:allocation and of a dirty bitmap (NBD spec; QEMU's
// docs/interop/nbd.rst).
constexpr std::uint32_t kHoleZero = 3;
constexpr std::uint32_t kDirty = 1;
// Digests looked at in one go: a page of the file system.
constexpr std::uint64_t kWindow = 128;

// A plan for a part of what another plan has.
Result<CopyPlan> restrict_to(const std::vector<Extent>& wanted,
                             const CopyPlan& plan, std::uint64_t size) {
  copy::BlockStatus status;
  status.changes = wanted;
  for (const Extent& extent : plan.extents())
    status.allocation.push_back(
        {extent.length, extent.flags == copy::kZero ? kHoleZero : 0});
  CopyPlan part(size, true, true);
  if (size == 0) return part;
  if (auto added = part.add({0, size}, status); !added) return added.error();
  return part;
}

// The blocks that this point itself has something to say about.
Result<std::vector<Extent>> own_blocks(const std::string& image,
                                       const repo::DigestTable& table,
                                       const repo::Blocks& blocks) {
  const auto layers = qemu::image_layers(image);
  if (!layers) return layers.error();
  std::vector<bool> own(blocks.count());
  for (const qemu::ImageLayer& part : *layers) {
    if (part.depth != 0 || part.range.empty()) continue;
    const std::uint64_t end = std::min(
        (part.range.end() + repo::kBlock - 1) / repo::kBlock, blocks.count());
    for (std::uint64_t i = part.range.offset / repo::kBlock; i < end; ++i)
      own[i] = true;
  }
  std::vector<repo::Digest> entries;
  for (std::uint64_t first = table.next_entries(0); first < blocks.count();
       first = table.next_entries(first + entries.size())) {
    entries.resize(std::min(kWindow, blocks.count() - first));
    if (auto got = table.get(first, entries); !got) return got.error();
    for (std::size_t i = 0; i < entries.size(); ++i)
      if (entries[i] != repo::Digest{}) own[first + i] = true;
  }
  ExtentBuilder extents({0, blocks.size()}, blocks.count() + 1);
  for (std::uint64_t i = 0; i < blocks.count(); ++i)
    extents.add(blocks.range(i).end(), own[i] ? kDirty : 0);
  return extents.take_extents();
}

Result<Comparison> compare_image(const repo::Repository& repository,
                                 const repo::Point& point,
                                 const repo::DiskRecord& disk, bool whole,
                                 const repo::DigestChain& digests,
                                 copy::PullObserver& observer) {
  const std::string image = repository.image(point.name, disk).string();
  auto server = qemu::ImageServer::start(image, {});
  if (!server) return server.error();
  auto source = copy::Source::connect(server->take_endpoint(), "");
  if (!source) return server->explain(source.error());
  if (source->size() != disk.size)
    return refuse(EIO, "its content cannot be compared");
  auto plan = source->plan();
  if (plan && disk.parent && !whole) {
    const auto table = repo::DigestTable::open(
        (repository.folder(point.name) / disk.digests).string(),
        digests.blocks());
    if (!table) return table.error();
    const auto own = own_blocks(image, *table, digests.blocks());
    if (!own) return own.error();
    plan = restrict_to(*own, *plan, disk.size);
  }
  if (!plan) return plan.error();
  NoTarget nowhere;
  auto comparison =
      copy_and_compare(std::move(*source), *plan, nowhere, observer, digests);
  if (!comparison && comparison.error().code != ECANCELED)
    return server->explain(comparison.error());
  return comparison;
}

// Errors are findings as well, if they are damage.
Result<void> look(const repo::Repository& repository,
                  const repo::Listing& listing, const repo::Point& point,
                  const repo::DiskRecord& disk, bool whole,
                  copy::PullObserver& observer, Inspection& inspection) {
  const auto chain = listing.chain(point, disk.name);
  if (!chain) return chain.error();
  const auto held = repository.hold(*chain);
  if (!held) return held.error();
  auto good = repo::check_images(repository, listing, *chain, disk.name);
  if (good)
    good = qemu::check_image(repository.image(point.name, disk).string());
  if (!good) return good;
  const repo::Blocks blocks(disk.size);
  auto tables = repository.tables(*chain, disk.name, blocks);
  if (!tables) return tables.error();
  const repo::DigestChain digests(blocks, std::move(*tables));
  if (good = repo::check_digests(digests, disk); !good)
    inspection.found(good.error().message);
  const auto comparison =
      compare_image(repository, point, disk, whole, digests, observer);
  if (!comparison) return comparison.error();
  inspection.bytes = comparison->compared;
  if (comparison->bad != 0)
    inspection.found(std::to_string(comparison->bad) +
                         " blocks of the image do not have their digests",
                     comparison->first);
  return {};
}

}  // namespace

Result<Inspection> inspect(const repo::Repository& repository,
                           const repo::Listing& listing,
                           const repo::Point& point,
                           const repo::DiskRecord& disk, bool whole,
                           copy::PullObserver& observer) {
  Inspection inspection;
  const auto looked =
      look(repository, listing, point, disk, whole, observer, inspection);
  if (!looked && !repo::is_damage(looked.error())) return looked.error();
  if (!looked) inspection.found(looked.error().message);
  return inspection;
}

}  // namespace blksnap::backup
