// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/snapshot_image.h"

namespace blksnap::image {
namespace {

class SnapshotImage : public Image {
 public:
  SnapshotImage(std::unique_ptr<io::File> device,
                std::function<Result<void>()> alive)
      : device_(std::move(device)), alive_(std::move(alive)) {}

  std::uint64_t size() const override { return device_->size(); }
  std::uint32_t block_size() const override { return device_->block_size(); }

  Result<void> read(std::uint64_t offset,
                    std::span<std::byte> buffer) const override {
    auto got = device_->read(offset, buffer);
    if (got) return got;
    // A dead image says EIO and no more: add what it died of.
    if (const auto living = alive_(); !living) {
      return Error{EIO, got.error().message + ": " + living.error().message};
    }
    return got;
  }

  bool read_now(std::uint64_t offset,
                std::span<std::byte> buffer) const override {
    return device_->read_now(offset, buffer);
  }
  Result<void> cache(ByteRange range) const override {
    return device_->cache(range);
  }

  Result<void> alive() const override { return alive_(); }

 private:
  const std::unique_ptr<io::File> device_;
  const std::function<Result<void>()> alive_;
};

}  // namespace

std::unique_ptr<Image> make_snapshot_image(
    std::unique_ptr<io::File> device, std::function<Result<void>()> alive) {
  return std::make_unique<SnapshotImage>(std::move(device), std::move(alive));
}

}  // namespace blksnap::image
