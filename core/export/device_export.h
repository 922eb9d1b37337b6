// SPDX-License-Identifier: LGPL-2.1-or-later
// The exports of one device: itself, and its views by checkpoint.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/names.h"
#include "export/contexts.h"
#include "export/export.h"

namespace blksnap::exports {

using checkpoints::Named;
using Names = std::vector<Named>;

// What all exports of one device share. `map` may be missing; if there is one,
// its capacity is the size of the image.
struct Device {
  std::string name;    // of its export, "vdb"
  std::string origin;  // path that people know it by, "/dev/vdb"
  bool rotational = false;
  std::string snapshot;  // UUID, or empty for a plain file
  std::string quiesced;  // a word of kernel::word_for(), or empty: not known
  ImagePtr image;
  MapPtr map;

  // The take before the one that the image shows, where there was one in this
  // generation: the base of the usual incremental backup.
  std::optional<cbt::Checkpoint> previous() const;
};

// One export of a device.
//
//   NAME                     every context
//   NAME@CHECKPOINT          base:allocation and that one bitmap
//   NAME@CHECKPOINT+changed  base:allocation and qemu:allocation-depth, with
//                            unchanged parts as holes
//
// CHECKPOINT is canonical (cbt/checkpoint.h) or one of the names that were
// given to it.
class DeviceExport : public Export {
 public:
  // The device as it is. `names`, here and below, are of checkpoints that the
  // device's map answers.
  explicit DeviceExport(std::shared_ptr<const Device> device, Names names = {});

  // A view of what changed since `since`, which the device's map answers.
  enum class View { kBitmap, kChanged };
  DeviceExport(std::shared_ptr<const Device> device, cbt::Checkpoint since,
               View view, Names names = {});
  // The same by a name of `since`: what is listed has that name.
  DeviceExport(std::shared_ptr<const Device> device, const Named& since,
               View view, Names names = {});

  const std::string& name() const override { return name_; }

  // As export.h says:
  //   snapshot of /dev/vdb, checkpoint=GEN.8 granularity=65536 snapshot=UUID
  //       quiesced=frozen
  //   changes of /dev/vdb since GEN.7, checkpoint=GEN.8 since=GEN.7 ...
  //   changes of /dev/vdb since monday, checkpoint=GEN.8 since=GEN.7 ...
  //   file disk.raw
  // checkpoint= is the instant shown, granularity= bytes per block of the map.
  std::string description() const override;

  std::uint64_t size() const override { return device_->image->size(); }
  BlockLimits limits() const override;
  bool writable() const override { return device_->image->writable(); }
  bool rotational() const override { return device_->rotational; }
  bool multi_conn() const override { return true; }

  std::vector<std::shared_ptr<const Context>> contexts() const override;
  std::shared_ptr<const Context> find_context(
      std::string_view name) const override;

  Result<void> read(std::uint64_t offset,
                    std::span<std::byte> buffer) const override;
  bool read_now(std::uint64_t offset,
                std::span<std::byte> buffer) const override;
  Place cached(ByteRange range) const override;
  Result<void> cache(ByteRange range) const override;
  Result<void> write(std::uint64_t offset, std::span<const std::byte> data,
                     bool fua) override;
  Result<void> zero(ByteRange range, bool may_trim, bool fast_only,
                    bool fua) override;
  Result<void> trim(ByteRange range, bool fua) override;
  Result<void> flush() override;

 private:
  std::shared_ptr<const Context> allocation_context() const;
  std::shared_ptr<const Context> depth_context() const;
  std::shared_ptr<const Context> dirty_context(const std::string& bitmap,
                                               cbt::Checkpoint since) const;
  std::optional<cbt::Checkpoint> checkpoint_of(const std::string& bitmap) const;
  Result<void> then_flush(Result<void> done, bool fua);

  const std::shared_ptr<const Device> device_;
  const std::optional<cbt::Checkpoint> since_;  // of a view
  const std::string since_name_;                // GENERATION.N or a given name
  const bool changed_ = false;                  // is it a "+changed" view?
  const std::string name_;
  const Names names_;
};

}  // namespace blksnap::exports
