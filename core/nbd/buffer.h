// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "base/extents.h"

namespace blksnap::nbd {

// Memory for the data of one request: not initialised, and page aligned so
// that direct I/O can use it. Movable, sole owner.
class Buffer {
 public:
  Buffer() = default;
  // Throws std::bad_alloc.
  explicit Buffer(std::size_t size)
      : capacity_((size + kPage - 1) / kPage * kPage),
        bytes_(static_cast<std::byte*>(std::aligned_alloc(kPage, capacity_))),
        size_(size) {
    if (!bytes_) throw std::bad_alloc();
  }
  Buffer(Buffer&& other) noexcept
      : capacity_(std::exchange(other.capacity_, 0)),
        bytes_(std::move(other.bytes_)),
        size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    capacity_ = std::exchange(other.capacity_, 0);
    bytes_ = std::move(other.bytes_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  std::span<std::byte> span() { return {bytes_.get(), size_}; }
  std::span<const std::byte> span() const { return {bytes_.get(), size_}; }
  std::size_t capacity() const { return capacity_; }
  // At most capacity().
  void resize(std::size_t size) { size_ = size; }

 private:
  static constexpr std::size_t kPage = 4096;
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::size_t capacity_ = 0;
  std::unique_ptr<std::byte, Free> bytes_;
  std::size_t size_ = 0;
};

// Buffers of one connection, and lists of extents, that wait for their next
// use. Without it every request of 128 KiB or more would map fresh zeroed
// pages, which costs as much as copying the data. One thread at a time.
class BufferPool {
 public:
  // Keeps at most `keep` bytes.
  explicit BufferPool(std::size_t keep) : keep_(keep) {}

  Buffer take(std::size_t size) {
    if (size == 0) return {};
    // The last one put back is the likeliest to be in a CPU's cache still.
    for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
      if (it->capacity() < size) continue;
      Buffer found = std::move(*it);
      idle_.erase(std::next(it).base());
      idle_bytes_ -= found.capacity();
      found.resize(size);
      return found;
    }
    return Buffer(size);
  }

  // Frees it where there is no memory to keep it.
  void put(Buffer buffer) noexcept {
    const std::size_t size = buffer.capacity();
    if (size == 0 || idle_bytes_ + size > keep_) return;
    try {
      idle_.push_back(std::move(buffer));
      idle_bytes_ += size;
    } catch (const std::bad_alloc&) {
    }
  }

  // Whatever there is: of block status nobody knows the size before.
  std::vector<Extent> take_extents() {
    if (idle_extents_.empty()) return {};
    std::vector<Extent> found = std::move(idle_extents_.back());
    idle_extents_.pop_back();
    idle_bytes_ -= size_of(found);
    return found;
  }
  void put(std::vector<Extent> extents) noexcept {
    const std::size_t size = size_of(extents);
    if (size == 0 || idle_bytes_ + size > keep_) return;
    try {
      idle_extents_.push_back(std::move(extents));
      idle_bytes_ += size;
    } catch (const std::bad_alloc&) {
    }
  }

  void clear() {
    idle_.clear();
    idle_extents_.clear();
    idle_bytes_ = 0;
  }

 private:
  static std::size_t size_of(const std::vector<Extent>& extents) {
    return extents.capacity() * sizeof(Extent);
  }

  std::size_t keep_;
  std::size_t idle_bytes_ = 0;
  std::vector<Buffer> idle_;
  std::vector<std::vector<Extent>> idle_extents_;
};

}  // namespace blksnap::nbd
