// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/extents.h"
#include "base/fd.h"
#include "base/range.h"
#include "base/result.h"

namespace blksnap::image {

// Flags of Image::allocation(). Their values are those of the NBD context
// base:allocation; export/contexts.cc asserts it.
inline constexpr std::uint32_t kHole = 1;  // takes no space
inline constexpr std::uint32_t kZero = 2;  // reads as zeroes

// Something with bytes at offsets. All calls may come from any thread at the
// same time, and may block. Offsets and lengths are in bytes and lie within
// size(), which does not change.
class Image {
 public:
  Image() = default;
  virtual ~Image() = default;
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  virtual std::uint64_t size() const = 0;

  // Bytes that are read and written most cheaply at once; a power of two.
  virtual std::uint32_t block_size() const = 0;

  virtual bool writable() const { return false; }

  // All of `buffer`, or an error.
  virtual Result<void> read(std::uint64_t offset,
                            std::span<std::byte> buffer) const = 0;

  // As in io::File: a read that takes no waiting, or none.
  virtual bool read_now(std::uint64_t, std::span<std::byte>) const {
    return false;
  }

  // Where the range can be sent from with sendfile(2), now; the image owns the
  // descriptor.
  virtual Place cached(ByteRange) const { return {}; }

  // As in io::File.
  virtual Result<void> cache(ByteRange) const { return {}; }

  // As in io::File; EROFS unless writable().
  virtual Result<void> write(std::uint64_t, std::span<const std::byte>) {
    return read_only();
  }
  virtual Result<void> zero(ByteRange, bool /*may_trim*/, bool /*fast_only*/) {
    return read_only();
  }
  virtual Result<void> trim(ByteRange) { return read_only(); }
  virtual Result<void> flush() { return {}; }

  // Fills `out` with kHole and kZero. 0, for "data", is always true enough.
  // Where zeroes are to be found by reading alone, at most `may_read` bytes
  // are read for it, and taken from that number.
  virtual Result<void> allocation(ExtentBuilder& out,
                                  std::uint64_t& /*may_read*/) const {
    out.add(out.range().end(), 0);
    return {};
  }
  // Does allocation() read, so that it should be asked for no more than what
  // somebody wants to know?
  virtual bool reads_for_allocation() const { return false; }

  // EIO with the cause once the image has lost its content: what is known of
  // its changes is worth nothing then either.
  virtual Result<void> alive() const { return {}; }

 private:
  static Error read_only() { return fail(EROFS, "write to the image"); }
};

}  // namespace blksnap::image
