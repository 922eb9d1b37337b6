// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/snapshot_image.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/zero.h"

namespace blksnap::image {
namespace {

// Read at once in the search for zeroes.
constexpr std::uint64_t kPiece = 1024 * 1024;
// In what was read, each of these is zero, or it is not.
constexpr std::uint64_t kUnit = 64 * 1024;

class SnapshotImage : public Image {
 public:
  SnapshotImage(std::unique_ptr<io::File> device,
                std::function<Result<void>()> alive, Discards discards)
      : device_(std::move(device)),
        alive_(std::move(alive)),
        discards_(std::move(discards)) {}

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

  Result<void> allocation(ExtentBuilder& out,
                          std::uint64_t& may_read) const override {
    std::vector<std::byte> buffer;
    for (bool more = true; more && !out.complete();) {
      const std::uint64_t at = out.covered_end();
      const auto run = discards_.run_at(at);
      const std::uint64_t end = std::min(run.end, out.range().end());
      if (run.discarded && may_read != 0) {
        buffer.resize(std::min({kPiece - at % kPiece, end - at, may_read}));
        may_read -= buffer.size();
        more = look(at, buffer, out);
      } else {
        more = out.add(end, 0);
      }
    }
    return {};
  }
  bool reads_for_allocation() const override { return !discards_.empty(); }

  Result<void> alive() const override { return alive_(); }

 private:
  // Adds what the bytes from `at` on are; false once `out` is full. What cannot
  // be read is data: who wants it is told by reading it.
  bool look(std::uint64_t at, std::span<std::byte> buffer,
            ExtentBuilder& out) const {
    if (!device_->read(at, buffer)) return out.add(at + buffer.size(), 0);
    while (!buffer.empty()) {
      const auto unit = buffer.first(
          std::min<std::size_t>(kUnit - at % kUnit, buffer.size()));
      at += unit.size();
      if (!out.add(at, all_zero(unit) ? kHole | kZero : 0)) return false;
      buffer = buffer.subspan(unit.size());
    }
    return true;
  }

  const std::unique_ptr<io::File> device_;
  const std::function<Result<void>()> alive_;
  const Discards discards_;
};

}  // namespace

std::unique_ptr<Image> make_snapshot_image(std::unique_ptr<io::File> device,
                                           std::function<Result<void>()> alive,
                                           Discards discards) {
  return std::make_unique<SnapshotImage>(std::move(device), std::move(alive),
                                         std::move(discards));
}

}  // namespace blksnap::image
