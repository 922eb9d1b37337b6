// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/disk_backup.h"

#include <algorithm>
#include <utility>

#include "backup/block_digester.h"
#include "copy/copier.h"
#include "copy/nbd_target.h"
#include "io/file.h"
#include "qemu/image.h"
#include "repository/files.h"
#include "repository/resume.h"
#include "repository/soundness.h"

namespace blksnap::backup {
namespace {

// Tells the set how far this disk is.
class DiskObserver : public copy::PullObserver {
 public:
  DiskObserver(const SetOfDisks& set, const std::string& disk)
      : set_(set), disk_(disk) {}
  bool proceed(std::uint64_t done, std::uint64_t total) override {
    return set_.proceed(disk_, done, total);
  }

 private:
  const SetOfDisks& set_;
  const std::string& disk_;
};

// In a table without a parent a block of zeroes needs no entry.
Result<void> put_full(const repo::DigestTable& table,
                      const repo::Blocks& blocks, std::uint64_t first,
                      std::span<const repo::Digest> digests) {
  std::vector<repo::Digest> entries(digests.begin(), digests.end());
  bool any = false;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i] == blocks.zero(first + i))
      entries[i] = repo::Digest{};
    else
      any = true;
  }
  return any ? table.put(first, entries) : Result<void>();
}

// Makes what has been copied so far last: see resume.h.
class DiskMilestones : public copy::Milestones {
 public:
  DiskMilestones(repo::Journal journal, const repo::Done& before,
                 std::function<Result<void>()> make_last)
      : journal_(std::move(journal)),
        before_(before),
        make_last_(std::move(make_last)) {}

  // Seldom enough to cost little.
  std::uint64_t distance() const override { return 256 * 1024 * 1024; }

  Result<void> reached(std::uint64_t position, std::uint64_t read,
                       std::uint64_t zeroed) override {
    if (auto lasting = make_last_(); !lasting) return lasting;
    return journal_.append(
        {position, before_.read_bytes + read, before_.zeroed_bytes + zeroed});
  }

 private:
  repo::Journal journal_;
  const repo::Done before_;
  const std::function<Result<void>()> make_last_;
};

// The image of one disk while it is written.
class ImageWriter {
 public:
  ImageWriter(const SetOfDisks& set, const PreparedDisk& disk)
      : set_(set),
        parent_(disk.parent),
        blocks_(disk.source.size()),
        image_((set.folder / (disk.name + std::string(repo::kImage))).string()),
        sums_(
            (set.folder / (disk.name + std::string(repo::kDigests))).string()),
        journal_(
            (set.folder / (disk.name + std::string(repo::kJournal))).string()) {
    if (set.resumable) done_ = repo::done_so_far(journal_);
  }

  Result<void> write(copy::Source source, const copy::CopyPlan& plan,
                     copy::PullObserver& observer, repo::DiskRecord& record) {
    const auto table = make_files(record);
    if (!table) return table.error();
    auto server =
        qemu::ImageServer::start(image_, {.writable = true,
                                          .compress = set_.compress,
                                          .held = set_.repository.lock()});
    if (!server) return server.error();
    auto copied = copy_to(*server, std::move(source),
                          plan.after(done_.position), observer, *table, record);
    if (!copied) return server->explain(copied.error());
    if (auto ended = server->finish(); !ended) return ended;
    if (auto synced = io::sync_path(image_); !synced) return synced;
    return table->sync();
  }

 private:
  // Anew, or as a backup that broke has left them.
  Result<repo::DigestTable> make_files(const repo::DiskRecord& record) {
    const std::string backing = repo::backing_of(record);
    if (done_.position != 0 &&
        repo::check_header(image_, blocks_.size(), backing)) {
      auto table = repo::DigestTable::reopen(sums_, blocks_);
      if (table && qemu::mend_image(image_)) return table;
    }
    done_ = {};
    for (const std::string& path : {image_, sums_, journal_.string()}) {
      std::error_code error;
      std::filesystem::remove(path, error);
      if (error) return fail(error.value(), "remove " + path);
    }
    auto made = qemu::create_image(image_, blocks_.size(), backing);
    if (!made) return made.error();
    return repo::DigestTable::create(sums_, blocks_);
  }

  Result<void> copy_to(qemu::ImageServer& server, copy::Source source,
                       const copy::CopyPlan& plan, copy::PullObserver& observer,
                       const repo::DigestTable& table,
                       repo::DiskRecord& record) {
    auto connected =
        copy::NbdTarget::connect(server.take_endpoint(), {.blank = !parent_});
    if (!connected) return connected.error();
    copy::NbdTarget& target = **connected;
    BlockDigester digester(blocks_, [&](std::uint64_t first,
                                        std::span<const repo::Digest> digests) {
      return parent_ ? table.put(first, digests)
                     : put_full(table, blocks_, first, digests);
    });
    const auto settle = [&]() -> Result<void> {
      if (auto synced = target.sync(); !synced) return synced;
      return digester.settle(
          [&](std::uint64_t offset, std::span<std::byte> buffer) {
            return target.read(offset, buffer);
          });
    };
    const auto make_last = [&]() -> Result<void> {
      if (auto settled = settle(); !settled) return settled;
      if (auto synced = io::sync_path(image_); !synced) return synced;
      return table.sync();
    };
    std::optional<DiskMilestones> milestones;
    if (set_.resumable) {
      auto journal = repo::Journal::open(journal_);
      if (!journal) return journal.error();
      milestones.emplace(std::move(*journal), done_, make_last);
    }
    copy::Copier copier(std::move(source), plan, target, observer,
                        {.witness = &digester,
                         .rate = &set_.rate,
                         .milestones = milestones ? &*milestones : nullptr});
    if (auto copied = copier.run(); !copied) return copied;
    record.read_bytes = done_.read_bytes + copier.read_bytes();
    record.zeroed_bytes = done_.zeroed_bytes + copier.zeroed_bytes();
    if (auto settled = settle(); !settled) return settled;
    return target.disconnect();
  }

  const SetOfDisks& set_;
  const std::optional<repo::Parent> parent_;
  const repo::Blocks blocks_;
  const std::string image_;
  const std::string sums_;
  const std::filesystem::path journal_;
  repo::Done done_;  // by a backup that broke
};

// With the tables of what it stands on.
Result<std::string> content_of(const SetOfDisks& set,
                               const repo::DiskRecord& disk) {
  const repo::Blocks blocks(disk.size);
  std::vector<repo::DigestTable> tables;
  if (disk.parent) {
    const repo::Point* parent = set.listing.find(disk.parent->point);
    const auto chain = set.listing.chain(*parent, disk.name);
    if (!chain) return chain.error();
    auto theirs = set.repository.tables(*chain, disk.name, blocks);
    if (!theirs) return theirs.error();
    tables = std::move(*theirs);
  }
  auto own =
      repo::DigestTable::open((set.folder / disk.digests).string(), blocks);
  if (!own) return own.error();
  tables.push_back(std::move(*own));
  const auto content = repo::DigestChain(blocks, std::move(tables)).content();
  if (!content) return content.error();
  return repo::to_hexadecimal(*content);
}

}  // namespace

Result<repo::DiskRecord> back_up_disk(PreparedDisk disk,
                                      const SetOfDisks& set) {
  repo::DiskRecord record{.name = disk.name,
                          .source = disk.origin,
                          .size = disk.source.size(),
                          .image = disk.name + std::string(repo::kImage),
                          .digests = disk.name + std::string(repo::kDigests),
                          .parent = disk.parent,
                          .why = disk.why,
                          .since = disk.since,
                          .checkpoint = disk.checkpoint,
                          .quiesced = disk.source.quiesced(),
                          .content = {}};
  auto plan = disk.source.plan();
  if (!plan) return plan.error();
  if (set.compress) plan = plan->in_units_of(qemu::kCompressed);
  ImageWriter writer(set, disk);
  DiskObserver observer(set, disk.name);
  auto written = writer.write(std::move(disk.source), *plan, observer, record);
  if (!written) return written.error();
  auto content = content_of(set, record);
  if (!content) return content.error();
  record.content = std::move(*content);
  return record;
}

}  // namespace blksnap::backup
