// SPDX-License-Identifier: LGPL-2.1-or-later
#include "io/fault_file.h"

#include <algorithm>
#include <cerrno>

namespace blksnap::io {

using Lock = std::lock_guard<std::mutex>;

FaultFile::FaultFile(std::vector<std::byte> content)
    : File("memory"),
      size_(content.size()),
      content_(std::move(content)),
      durable_(content_) {}

void FaultFile::fail_after(unsigned calls, int code) {
  const Lock lock(mutex_);
  fail_at_ = calls_ + calls;
  fail_code_ = code;
}

unsigned FaultFile::calls() const {
  const Lock lock(mutex_);
  return calls_;
}

void FaultFile::shorten(std::uint64_t size) {
  const Lock lock(mutex_);
  content_.resize(size);
  durable_.resize(size);
}

void FaultFile::crash() {
  const Lock lock(mutex_);
  content_ = durable_;
}

std::vector<std::byte> FaultFile::content() const {
  const Lock lock(mutex_);
  return content_;
}

int FaultFile::count_call() const {
  if (calls_++ != fail_at_) return 0;
  return std::exchange(fail_code_, 0);
}

Result<void> FaultFile::read(std::uint64_t offset,
                             std::span<std::byte> buffer) const {
  const Lock lock(mutex_);
  if (const int code = count_call()) return fail(code, "read " + path());
  if (!ByteRange::within(offset, buffer.size(), content_.size())) {
    return refuse(EIO, "read " + path() + ": end of file");
  }
  std::copy_n(content_.begin() + static_cast<std::ptrdiff_t>(offset),
              buffer.size(), buffer.begin());
  return {};
}

Result<void> FaultFile::write(std::uint64_t offset,
                              std::span<const std::byte> data) {
  const Lock lock(mutex_);
  int code = count_call();
  if (!ByteRange::within(offset, data.size(), content_.size())) {
    return fail(ENOSPC, "write " + path());
  }
  if (code != 0) data = data.first(data.size() / 2);
  std::copy(data.begin(), data.end(),
            content_.begin() + static_cast<std::ptrdiff_t>(offset));
  if (code != 0) return fail(code, "write " + path());
  return {};
}

Result<void> FaultFile::flush() {
  const Lock lock(mutex_);
  if (const int code = count_call()) return fail(code, "flush " + path());
  durable_ = content_;
  return {};
}

Result<void> FaultFile::zero(ByteRange range, bool, bool) {
  return write(range.offset, std::vector<std::byte>(range.length));
}

Result<void> FaultFile::trim(ByteRange range) {
  return zero(range, true, false);
}

bool FaultFile::is_hole(std::uint64_t block) const {
  const auto begin =
      content_.begin() + static_cast<std::ptrdiff_t>(block * kHoleBlock);
  const auto length =
      std::min<std::ptrdiff_t>(kHoleBlock, content_.end() - begin);
  return std::all_of(begin, begin + length,
                     [](std::byte byte) { return byte == std::byte{0}; });
}

Result<File::Run> FaultFile::run_at(std::uint64_t offset) const {
  const Lock lock(mutex_);
  if (const int code = count_call()) return fail(code, "find data");
  if (offset >= content_.size()) {
    return refuse(EIO, path() + " is shorter than when it was opened");
  }
  const std::uint64_t blocks = (content_.size() - 1) / kHoleBlock + 1;
  std::uint64_t block = offset / kHoleBlock;
  const bool hole = is_hole(block);
  while (block < blocks && is_hole(block) == hole) ++block;
  return Run{std::min<std::uint64_t>(block * kHoleBlock, content_.size()),
             !hole};
}

}  // namespace blksnap::io
