// SPDX-License-Identifier: LGPL-2.1-or-later
// A file in memory that fails when it is told to, for tests of whatever stands
// on io::File.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "io/file.h"

namespace blksnap::io {

// Any thread.
class FaultFile : public File {
 public:
  explicit FaultFile(std::vector<std::byte> content);

  // The call after `calls` more of them (0: the next one), of whatever kind,
  // fails with `code`, once; a write that fails has written half of its data.
  void fail_after(unsigned calls, int code);
  // How many calls there were so far, so that a test can walk all of them.
  unsigned calls() const;

  // The device ends here though size() says otherwise: reads beyond it give
  // EIO and writes ENOSPC.
  void shorten(std::uint64_t size);

  // Power fails: all that was not flushed is gone.
  void crash();

  std::vector<std::byte> content() const;

  std::uint64_t size() const override { return size_; }
  std::uint32_t block_size() const override { return 1; }
  int native_fd() const override { return -1; }
  Result<void> read(std::uint64_t offset,
                    std::span<std::byte> buffer) const override;
  bool read_now(std::uint64_t, std::span<std::byte>) const override {
    return false;
  }
  bool cached(ByteRange) const override { return false; }
  Result<void> cache(ByteRange) const override { return {}; }
  Result<void> write(std::uint64_t offset,
                     std::span<const std::byte> data) override;
  Result<void> flush() override;
  Result<void> zero(ByteRange range, bool may_trim, bool fast_only) override;
  Result<void> trim(ByteRange range) override;
  // Blocks of kHoleBlock zeroes are holes.
  Result<Run> run_at(std::uint64_t offset) const override;

  static constexpr std::uint64_t kHoleBlock = 4096;

 private:
  // Counts a call; the errno that it has to fail with, or 0. Locked.
  int count_call() const;
  bool is_hole(std::uint64_t block) const;

  const std::uint64_t size_;
  mutable std::mutex mutex_;  // guards all below
  std::vector<std::byte> content_;
  std::vector<std::byte> durable_;
  mutable unsigned calls_ = 0;
  mutable unsigned fail_at_ = 0;
  mutable int fail_code_ = 0;
};

}  // namespace blksnap::io
