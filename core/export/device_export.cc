// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/device_export.h"

#include <algorithm>
#include <cassert>

#include "base/uuid.h"

namespace blksnap::exports {
namespace {

// Descriptions are taken apart at their comma and go to terminals.
std::string plain(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](unsigned char c) { return c == ',' || c < ' ' || c == 0x7f; }, '?');
  return text;
}

}  // namespace

std::optional<cbt::Checkpoint> Device::previous() const {
  // Number 0 is the attach: no image of that instant was ever to be had.
  if (!map || map->taken().number < 2) return std::nullopt;
  const cbt::History& history = map->history();
  return history.find(
      {history.generation, static_cast<std::uint8_t>(history.number - 1)});
}

DeviceExport::DeviceExport(std::shared_ptr<const Device> device, Names names)
    : device_(std::move(device)),
      name_(device_->name),
      names_(std::move(names)) {
  assert(!device_->map || device_->map->capacity() == device_->image->size());
}

DeviceExport::DeviceExport(std::shared_ptr<const Device> device,
                           cbt::Checkpoint since, View view, Names names)
    : DeviceExport(std::move(device), Named{since.to_string(), {}, since, 0},
                   view, std::move(names)) {}

DeviceExport::DeviceExport(std::shared_ptr<const Device> device,
                           const Named& since, View view, Names names)
    : device_(std::move(device)),
      since_(device_->map->find(since.at)),
      since_name_(since.name),
      changed_(view == View::kChanged),
      name_(device_->name + "@" + since.name + (changed_ ? "+changed" : "")),
      names_(std::move(names)) {
  assert(since_);
  assert(device_->map->capacity() == device_->image->size());
}

std::string DeviceExport::description() const {
  const std::string origin = plain(device_->origin);
  std::string text;
  if (since_) {
    text = "changes of " + origin + " since " + since_name_;
  } else {
    text = (device_->snapshot.empty() ? "file " : "snapshot of ") + origin;
  }
  std::string words;
  if (device_->map && device_->map->taken().number > 0) {
    words += " checkpoint=" + device_->map->taken().to_string();
    if (since_) words += " since=" + since_->to_string();
    words += " granularity=" + std::to_string(device_->map->block_size());
  }
  if (!device_->snapshot.empty()) words += " snapshot=" + device_->snapshot;
  if (!device_->quiesced.empty()) words += " quiesced=" + device_->quiesced;
  return words.empty() ? text : text + "," + words;
}

BlockLimits DeviceExport::limits() const {
  // The page cache lies between, so that any byte may be asked for.
  BlockLimits limits;
  limits.minimum = 1;
  limits.preferred = std::max(limits.preferred, device_->image->block_size());
  return limits;
}

std::shared_ptr<const Context> DeviceExport::allocation_context() const {
  if (!changed_) return make_allocation_context(device_->image);
  return make_changed_context(device_->image, device_->map, *since_);
}

std::shared_ptr<const Context> DeviceExport::depth_context() const {
  if (!changed_) return make_depth_context();
  return make_changed_depth_context(device_->image, device_->map, *since_);
}

std::shared_ptr<const Context> DeviceExport::dirty_context(
    const std::string& bitmap, cbt::Checkpoint since) const {
  return make_dirty_context(kDirtyBitmapPrefix + bitmap, device_->image,
                            device_->map, since);
}

std::vector<std::shared_ptr<const Context>> DeviceExport::contexts() const {
  std::vector<std::shared_ptr<const Context>> all{allocation_context()};
  if (changed_) {
    all.push_back(depth_context());
    return all;
  }
  // One alone: there are clients that refuse an export with two.
  if (since_) {
    all.push_back(dirty_context(since_name_, *since_));
    return all;
  }
  if (const auto since = device_->previous())
    all.push_back(dirty_context(since->to_string(), *since));
  for (const Named& named : names_)
    all.push_back(dirty_context(named.name, named.at));
  return all;
}

// What a bitmap that is not an alias is of, if the map answers it.
std::optional<cbt::Checkpoint> DeviceExport::checkpoint_of(
    const std::string& bitmap) const {
  const auto canonical = cbt::Checkpoint::parse(bitmap);
  if (canonical) return device_->map->find(*canonical);
  for (const Named& named : names_)
    if (named.name == bitmap) return device_->map->find(named.at);
  return std::nullopt;
}

std::shared_ptr<const Context> DeviceExport::find_context(
    std::string_view name) const {
  if (name == kBaseAllocation) return allocation_context();
  // Of an image without layers it tells nothing, so that it is not listed.
  if (name == kAllocationDepth) return depth_context();
  constexpr std::string_view kPrefix = kDirtyBitmapPrefix;
  if (!name.starts_with(kPrefix) || changed_ || !device_->map) return nullptr;
  const std::string bitmap(name.substr(kPrefix.size()));

  // What oVirt and others call the bitmap of the backup that is going on.
  if (bitmap == "backup-" + device_->name) {
    const auto since = since_ ? since_ : device_->previous();
    return since ? dirty_context(bitmap, *since) : nullptr;
  }
  const auto since = checkpoint_of(bitmap);
  if (!since || (since_ && !since_->may_be(*since))) return nullptr;
  return dirty_context(bitmap, *since);
}

Result<void> DeviceExport::read(std::uint64_t offset,
                                std::span<std::byte> buffer) const {
  return device_->image->read(offset, buffer);
}

bool DeviceExport::read_now(std::uint64_t offset,
                            std::span<std::byte> buffer) const {
  return device_->image->read_now(offset, buffer);
}

Place DeviceExport::cached(ByteRange range) const {
  return device_->image->cached(range);
}

Result<void> DeviceExport::cache(ByteRange range) const {
  return device_->image->cache(range);
}

Result<void> DeviceExport::write(std::uint64_t offset,
                                 std::span<const std::byte> data, bool fua) {
  return then_flush(device_->image->write(offset, data), fua);
}

Result<void> DeviceExport::zero(ByteRange range, bool may_trim, bool fast_only,
                                bool fua) {
  return then_flush(device_->image->zero(range, may_trim, fast_only), fua);
}

Result<void> DeviceExport::trim(ByteRange range, bool fua) {
  return then_flush(device_->image->trim(range), fua);
}

Result<void> DeviceExport::flush() {
  return device_->image->flush();
}

Result<void> DeviceExport::then_flush(Result<void> done, bool fua) {
  if (!done || !fua) return done;
  return flush();
}

}  // namespace blksnap::exports
