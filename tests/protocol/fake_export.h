// SPDX-License-Identifier: LGPL-2.1-or-later
// Exports in memory, whose every answer a test decides.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "export/catalogue.h"
#include "export/export.h"

namespace blksnap::nbd {

// Answers with pieces (end, flags) in order, and stops where they stop.
class FakeContext : public exports::Context {
 public:
  using Piece = std::pair<std::uint64_t, std::uint32_t>;
  FakeContext(std::string name, std::vector<Piece> pieces, Error error = {})
      : Context(std::move(name)),
        pieces_(std::move(pieces)),
        error_(std::move(error)) {}

  Result<void> extents(ExtentBuilder& out) const override {
    if (error_.code != 0) return error_;
    for (const auto& [end, flags] : pieces_)
      if (!out.add(end, flags)) break;
    return {};
  }

 private:
  std::vector<Piece> pieces_;
  Error error_;
};

class FakeExport : public exports::Export {
 public:
  explicit FakeExport(std::string name, std::size_t size = 1 << 20)
      : bytes(size), name_(std::move(name)) {
    for (std::size_t i = 0; i < size; ++i)
      bytes[i] = static_cast<std::byte>(i / 512 * 31 + i);
  }

  const std::string& name() const override { return name_; }
  std::string description() const override { return "a fake"; }
  std::uint64_t size() const override {
    return pretended_size ? pretended_size : bytes.size();
  }
  exports::BlockLimits limits() const override { return sizes; }
  bool writable() const override { return read_write; }
  bool rotational() const override { return seeks; }
  bool multi_conn() const override { return several; }

  std::vector<std::shared_ptr<const exports::Context>> contexts()
      const override {
    return listed;
  }
  std::shared_ptr<const exports::Context> find_context(
      std::string_view asked) const override {
    for (const auto* list : {&listed, &hidden})
      for (const auto& context : *list)
        if (context->name() == asked) return context;
    return nullptr;
  }

  Result<void> read(std::uint64_t offset,
                    std::span<std::byte> buffer) const override {
    if (before_read) {
      if (auto ready = before_read(offset); !ready) return ready;
    }
    const std::lock_guard lock(mutex_);
    std::memcpy(buffer.data(), bytes.data() + offset, buffer.size());
    return {};
  }
  bool read_now(std::uint64_t offset,
                std::span<std::byte> buffer) const override {
    if (before_read) return false;
    return read(offset, buffer).has_value();
  }
  Place cached(ByteRange range) const override {
    return file >= 0 ? Place{file, range.offset} : Place{};
  }
  Result<void> cache(ByteRange range) const override {
    const std::lock_guard lock(mutex_);
    hints.push_back(range);
    return {};
  }
  Result<void> write(std::uint64_t offset, std::span<const std::byte> data,
                     bool fua) override {
    const std::lock_guard lock(mutex_);
    std::memcpy(bytes.data() + offset, data.data(), data.size());
    calls.push_back(fua ? "write fua" : "write");
    return {};
  }
  Result<void> zero(ByteRange range, bool may_trim, bool fast_only,
                    bool fua) override {
    if (fast_only) return refuse(EOPNOTSUPP, "not quicker");
    const std::lock_guard lock(mutex_);
    std::memset(bytes.data() + range.offset, 0, range.length);
    calls.push_back(std::string("zero") + (may_trim ? " trim" : "") +
                    (fua ? " fua" : ""));
    return {};
  }
  Result<void> trim(ByteRange, bool fua) override {
    const std::lock_guard lock(mutex_);
    calls.push_back(fua ? "trim fua" : "trim");
    return {};
  }
  Result<void> flush() override {
    const std::lock_guard lock(mutex_);
    calls.push_back("flush");
    return {};
  }

  // To be set before use.
  std::uint64_t pretended_size = 0;  // for tests that never read
  exports::BlockLimits sizes;
  bool read_write = false;
  bool several = true;
  bool seeks = false;
  std::vector<std::shared_ptr<const exports::Context>> listed, hidden;
  std::function<Result<void>(std::uint64_t offset)> before_read;

  int file = -1;  // with the same bytes, to be sent from

  std::vector<std::byte> bytes;
  std::vector<std::string> calls;        // of those that change something
  mutable std::vector<ByteRange> hints;  // of cache()

 private:
  std::string name_;
  mutable std::mutex mutex_;
};

// The first export is the default.
class FakeCatalogue : public exports::Catalogue {
 public:
  explicit FakeCatalogue(std::vector<std::shared_ptr<FakeExport>> exports)
      : exports_(std::move(exports)) {}

  std::vector<Entry> list() const override {
    std::vector<Entry> entries;
    for (const auto& one : exports_)
      entries.push_back({one->name(), one->description()});
    return entries;
  }
  Result<std::shared_ptr<exports::Export>> find(
      std::string_view name) const override {
    if (name.empty() && !exports_.empty()) return {exports_.front()};
    for (const auto& one : exports_)
      if (one->name() == name) return {one};
    return refuse(ENOENT, "no such export");
  }

 private:
  std::vector<std::shared_ptr<FakeExport>> exports_;
};

}  // namespace blksnap::nbd
