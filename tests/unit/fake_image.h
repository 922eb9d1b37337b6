// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstring>
#include <memory>
#include <string>

#include "base/uuid.h"
#include "cbt/map.h"
#include "export/device_export.h"
#include "image/image.h"

namespace blksnap {

// An image of a size, that notes what is done to it.
class FakeImage : public image::Image {
 public:
  explicit FakeImage(std::uint64_t size, bool writable = false)
      : size_(size), writable_(writable) {}

  std::uint64_t size() const override { return size_; }
  std::uint32_t block_size() const override { return block_size_value; }
  bool writable() const override { return writable_; }
  Result<void> read(std::uint64_t, std::span<std::byte> buffer) const override {
    std::memset(buffer.data(), 'x', buffer.size());
    return {};
  }
  Result<void> cache(ByteRange) const override {
    ++cached;
    return {};
  }
  Result<void> write(std::uint64_t, std::span<const std::byte>) override {
    done += "write ";
    return answer;
  }
  Result<void> zero(ByteRange, bool may_trim, bool fast_only) override {
    done += std::string("zero") + (may_trim ? "-trim" : "") +
            (fast_only ? "-fast" : "") + " ";
    return answer;
  }
  Result<void> trim(ByteRange) override {
    done += "trim ";
    return answer;
  }
  Result<void> flush() override {
    done += "flush ";
    return {};
  }
  Result<void> allocation(ExtentBuilder& out, std::uint64_t&) const override {
    out.add(size_ / 2, 0);
    out.add(size_, image::kHole | image::kZero);
    return {};
  }
  bool reads_for_allocation() const override { return reads; }
  Result<void> alive() const override { return living; }

  std::uint32_t block_size_value = 512;
  std::string done;
  mutable int cached = 0;
  bool reads = false;
  Result<void> answer;
  Result<void> living;

 private:
  const std::uint64_t size_;
  const bool writable_;
};

inline constexpr char kGeneration[] = "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e";

inline cbt::Checkpoint checkpoint(std::uint8_t number) {
  return {*parse_uuid(kGeneration), number};
}

// Makes a history as of a module that keeps no instants.
inline cbt::History history(std::uint8_t number) {
  return {*parse_uuid(kGeneration), number};
}

// Four blocks of 1024 bytes, the last of them short: 4000 bytes in all.
// Taken for the `number`th time.
inline exports::Device fake_device(std::uint8_t number = 3,
                                   std::shared_ptr<FakeImage> image = nullptr) {
  exports::Device device;
  device.name = "vdb";
  device.origin = "/dev/vdb";
  device.snapshot = "ab000000-0000-0000-0000-000000000001";
  device.image = image ? image : std::make_shared<FakeImage>(4000);
  device.map = std::make_shared<const cbt::ChangeMap>(
      *cbt::ChangeMap::make(4000, 1024, history(number), {0, 1, 3, 2}));
  return device;
}

}  // namespace blksnap
