// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/raw_image.h"

namespace blksnap::image {
namespace {

class RawImage : public Image {
 public:
  RawImage(std::unique_ptr<io::File> file, bool writable)
      : file_(std::move(file)), writable_(writable) {}

  std::uint64_t size() const override { return file_->size(); }
  std::uint32_t block_size() const override { return file_->block_size(); }
  bool writable() const override { return writable_; }

  Result<void> read(std::uint64_t offset,
                    std::span<std::byte> buffer) const override {
    return file_->read(offset, buffer);
  }
  bool read_now(std::uint64_t offset,
                std::span<std::byte> buffer) const override {
    return file_->read_now(offset, buffer);
  }
  Place cached(ByteRange range) const override {
    if (!file_->cached(range)) return {};
    return {file_->native_fd(), range.offset};
  }
  Result<void> cache(ByteRange range) const override {
    return file_->cache(range);
  }
  Result<void> write(std::uint64_t offset,
                     std::span<const std::byte> data) override {
    if (!writable_) return Image::write(offset, data);
    return file_->write(offset, data);
  }
  Result<void> zero(ByteRange range, bool may_trim, bool fast_only) override {
    if (!writable_) return Image::zero(range, may_trim, fast_only);
    return file_->zero(range, may_trim, fast_only);
  }
  Result<void> trim(ByteRange range) override {
    if (!writable_) return Image::trim(range);
    return file_->trim(range);
  }
  Result<void> flush() override {
    if (!writable_) return Image::flush();
    return file_->flush();
  }

  Result<void> allocation(ExtentBuilder& out, std::uint64_t&) const override {
    while (!out.complete()) {
      const auto run = file_->run_at(out.covered_end());
      if (!run) return run.error();
      if (!out.add(run->end, run->data ? 0 : kHole | kZero)) break;
    }
    return {};
  }

 private:
  const std::unique_ptr<io::File> file_;
  const bool writable_;
};

}  // namespace

std::unique_ptr<Image> make_raw_image(std::unique_ptr<io::File> file,
                                      bool writable) {
  return std::make_unique<RawImage>(std::move(file), writable);
}

}  // namespace blksnap::image
