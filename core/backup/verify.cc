// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/verify.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "backup/choice.h"
#include "backup/compare.h"
#include "backup/image.h"
#include "backup/repository.h"

namespace blksnap::backup {
namespace {

using copy::CopyPlan;

// Flags of base:allocation and of a dirty bitmap (NBD spec; QEMU's
// docs/interop/nbd.rst).
constexpr std::uint32_t kHoleZero = 3;
constexpr std::uint32_t kDirty = 1;
// Digests looked at in one go: a page of the file system.
constexpr std::uint64_t kWindow = 128;

std::string backing_of(const DiskRecord& disk) {
  return disk.parent ? "../" + disk.parent->text() + "/" + disk.image : "";
}

// The same where prune() got as far as to take an image away, and no further.
std::string backing_instead_of(const Listing& listing, const DiskRecord& disk) {
  for (const Point& point : listing.removed)
    if (disk.parent == point.name)
      if (const DiskRecord* record = point.manifest.find(disk.name))
        return backing_of(*record);
  return backing_of(disk);
}

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
                                       const DigestTable& table,
                                       const Blocks& blocks) {
  const auto layers = image_layers(image);
  if (!layers) return layers.error();
  std::vector<bool> own(blocks.count());
  for (const ImageLayer& part : *layers) {
    if (part.depth != 0 || part.range.empty()) continue;
    const std::uint64_t end =
        std::min((part.range.end() + kBlock - 1) / kBlock, blocks.count());
    for (std::uint64_t i = part.range.offset / kBlock; i < end; ++i)
      own[i] = true;
  }
  std::vector<Digest> entries;
  for (std::uint64_t first = table.next_entries(0); first < blocks.count();
       first = table.next_entries(first + entries.size())) {
    entries.resize(std::min(kWindow, blocks.count() - first));
    if (auto got = table.get(first, entries); !got) return got.error();
    for (std::size_t i = 0; i < entries.size(); ++i)
      if (entries[i] != Digest{}) own[first + i] = true;
  }
  ExtentBuilder extents({0, blocks.size()}, blocks.count() + 1);
  for (std::uint64_t i = 0; i < blocks.count(); ++i)
    extents.add(blocks.range(i).end(), own[i] ? kDirty : 0);
  return extents.take_extents();
}

class Verifier {
 public:
  Verifier(const Repository& repository, const Listing& listing,
           const VerifyRequest& request, VerifyObserver& observer)
      : repository_(repository),
        listing_(listing),
        request_(request),
        observer_(observer) {}

  Result<VerifyReport> run() {
    for (const Error& damage : listing_.damaged)
      found({"", "", damage.message, {}});
    bool any = false;
    for (const Point& point : listing_.points) {
      if (!request_.point.empty() && point.name.text() != request_.point)
        continue;
      for (const DiskRecord& disk : point.manifest.disks) {
        if (!request_.disk.empty() && disk.name != request_.disk) continue;
        any = true;
        if (auto looked = look_at(point, disk); !looked) return looked.error();
      }
    }
    if (!any && !(request_.point.empty() && request_.disk.empty()))
      return refuse(ENOENT,
                    request_.repository + ": there is no such point or disk");
    if (request_.source.empty()) return report_;
    if (auto compared = compare_with_source(); !compared)
      return compared.error();
    return report_;
  }

 private:
  void found(const Finding& finding) {
    ++report_.findings;
    observer_.found(finding);
  }

  // An error is an interruption; whatever else is wrong is a finding.
  Result<void> note(const Point& point, const DiskRecord& disk,
                    const Error& error) {
    if (error.code == ECANCELED) return error;
    found({point.name.text(), disk.name, error.message, {}});
    return {};
  }

  void note(const Point& point, const DiskRecord& disk,
            const Comparison& comparison, const std::string& what) {
    report_.bytes += comparison.compared;
    if (comparison.bad == 0) return;
    found({point.name.text(), disk.name,
           std::to_string(comparison.bad) + " blocks " + what,
           comparison.first});
  }

  Result<void> look_at(const Point& point, const DiskRecord& disk) {
    ++report_.images;
    const auto chain = Repository::chain(listing_, point, disk.name);
    if (!chain) return note(point, disk, chain.error());
    const auto held = repository_.hold(*chain);
    if (!held) return note(point, disk, held.error());
    const std::string image = repository_.image(point.name, disk).string();
    if (auto good = check_form(point, disk, image); !good)
      return note(point, disk, good.error());
    const Blocks blocks(disk.size);
    auto tables = repository_.tables(*chain, disk.name, blocks);
    if (!tables) return note(point, disk, tables.error());
    const DigestChain digests(blocks, std::move(*tables));
    const auto content = digests.content();
    if (!content) return note(point, disk, content.error());
    if (to_hexadecimal(*content) != disk.content)
      found({point.name.text(),
             disk.name,
             disk.digests + " does not have the digests of the manifest",
             {}});
    const auto comparison = compare_image(point, disk, image, digests);
    if (!comparison) return note(point, disk, comparison.error());
    note(point, disk, *comparison, "of the image do not have their digests");
    return {};
  }

  // Everything but the content.
  Result<void> check_form(const Point& point, const DiskRecord& disk,
                          const std::string& image) {
    const auto info = image_info(image);
    if (!info) return info.error();
    if (info->size != disk.size)
      found({point.name.text(),
             disk.name,
             "the image has " + std::to_string(info->size) +
                 " bytes, the manifest " + std::to_string(disk.size),
             {}});
    if ((info->backing != backing_of(disk) &&
         info->backing != backing_instead_of(listing_, disk)) ||
        (!info->backing.empty() && info->backing_format != "qcow2"))
      found({point.name.text(),
             disk.name,
             "the image stands on '" + info->backing + "', not on '" +
                 backing_of(disk) + "' as the manifest says",
             {}});
    return check_image(image);
  }

  Result<Comparison> compare_image(const Point& point, const DiskRecord& disk,
                                   const std::string& image,
                                   const DigestChain& digests) {
    auto server = ImageServer::start(image, {});
    if (!server) return server.error();
    auto source = copy::Source::connect(server->take_endpoint(), "");
    if (!source) return server->explain(source.error());
    if (source->size() != disk.size)
      return refuse(EIO, "its content cannot be compared");
    auto plan = source->plan();
    if (plan && disk.parent && request_.point.empty()) {
      const auto table = DigestTable::open(
          (repository_.folder(point.name) / disk.digests).string(),
          digests.blocks());
      if (!table) return table.error();
      const auto own = own_blocks(image, *table, digests.blocks());
      if (!own) return own.error();
      plan = restrict_to(*own, *plan, disk.size);
    }
    if (!plan) return plan.error();
    NoTarget nowhere;
    auto comparison = copy_and_compare(std::move(*source), *plan, nowhere,
                                       observer_, digests);
    if (!comparison && comparison.error().code != ECANCELED)
      return server->explain(comparison.error());
    return comparison;
  }

  Result<void> compare_with_source() {
    const auto choice =
        choose(listing_, request_.repository, request_.point, request_.disk);
    if (!choice) return context("--source", choice.error());
    const auto [point, disk] = *choice;
    auto source = copy::Source::connect(request_.source, "");
    if (!source) return source.error();
    if (source->size() != disk->size) {
      found({point->name.text(),
             disk->name,
             request_.source + " has " + std::to_string(source->size()) +
                 " bytes, the point " + std::to_string(disk->size),
             {}});
      return {};
    }
    const auto chain = Repository::chain(listing_, *point, disk->name);
    if (!chain) return {};  // told already
    const auto held = repository_.hold(*chain);
    if (!held) return note(*point, *disk, held.error());
    const Blocks blocks(disk->size);
    auto tables = repository_.tables(*chain, disk->name, blocks);
    if (!tables) return {};  // this as well
    const auto plan = source->plan();
    if (!plan) return plan.error();
    NoTarget nowhere;
    const auto comparison =
        copy_and_compare(std::move(*source), *plan, nowhere, observer_,
                         DigestChain(blocks, std::move(*tables)));
    if (!comparison) return comparison.error();
    note(*point, *disk, *comparison, "differ from " + request_.source);
    return {};
  }

  const Repository& repository_;
  const Listing& listing_;
  const VerifyRequest& request_;
  VerifyObserver& observer_;
  VerifyReport report_;
};

}  // namespace

Result<VerifyReport> verify(const VerifyRequest& request,
                            VerifyObserver& observer) {
  const auto repository = Repository::open(request.repository);
  if (!repository) return repository.error();
  const auto listing = repository->list();
  if (!listing) return listing.error();
  return Verifier(*repository, *listing, request, observer).run();
}

}  // namespace blksnap::backup
