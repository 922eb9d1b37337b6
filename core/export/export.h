// SPDX-License-Identifier: LGPL-2.1-or-later
// THE WAIST: all that a front end (NBD session, nbdkit plugin) knows of what
// it serves. Nothing above knows images, maps or kernels; nothing below knows
// a protocol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/extents.h"
#include "base/fd.h"
#include "base/range.h"
#include "base/result.h"

namespace blksnap::exports {

// What a client should know about request sizes, in bytes, powers of two
// (maximum excepted); NBD_INFO_BLOCK_SIZE of the NBD spec.
struct BlockLimits {
  std::uint32_t minimum = 512;
  std::uint32_t preferred = 4096;
  std::uint32_t maximum = 32 * 1024 * 1024;
};

// Flags of base:allocation (NBD spec, "Metadata querying").
inline constexpr std::uint32_t kStateHole = 1;
inline constexpr std::uint32_t kStateZero = 2;
// Flag of qemu:dirty-bitmap:* (QEMU docs/interop/nbd.rst): 0 or 1, ever.
inline constexpr std::uint32_t kStateDirty = 1;

// A metadata context of one export: its full name, and how to fill extents.
// Immutable; shared by all sessions; outlived by its Export.
class Context {
 public:
  explicit Context(std::string name) : name_(std::move(name)) {}
  virtual ~Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const std::string& name() const { return name_; }

  // Fills `out` from out.range(), which lies within the export, until it is
  // covered or full. Any thread; may block on I/O. After an error `out` means
  // nothing: "unknown" is an error or dirty, never "unchanged" (invariant 1).
  virtual Result<void> extents(ExtentBuilder& out) const = 0;

  // What a client is to get in place of this one where it has selected `all`,
  // which this one is among; nullptr: this one.
  virtual std::shared_ptr<const Context> among(
      std::span<const std::shared_ptr<const Context>> /*all*/) const {
    return nullptr;
  }

 private:
  std::string name_;
};

// A device, image or view that is served under a name. All calls may come
// from any thread at the same time and may block on I/O. Offsets and lengths
// are in bytes; the caller has checked that they lie within size().
class Export {
 public:
  virtual ~Export() = default;

  virtual const std::string& name() const = 0;

  // For people, and for `blksnap pull`: a sentence without a comma; then, if
  // there is anything to add, ", " and words KEY=VALUE with a space between:
  //   snapshot of /dev/vdb, checkpoint=GENERATION.8 granularity=65536 ...
  // Among them checkpoint=GENERATION.N where the export shows one instant of
  // a tracked device. Unknown keys are to be passed over.
  virtual std::string description() const = 0;

  virtual std::uint64_t size() const = 0;
  virtual BlockLimits limits() const = 0;
  virtual bool writable() const = 0;

  // Does what is served lie on a device that takes time to seek?
  virtual bool rotational() const = 0;

  // May a client use several connections at once? True where a flush on one
  // covers the writes of all (NBD_FLAG_CAN_MULTI_CONN).
  virtual bool multi_conn() const = 0;

  // Contexts that LIST_META_CONTEXT shows, in order, base:allocation first.
  virtual std::vector<std::shared_ptr<const Context>> contexts() const = 0;

  // The context of exactly this name, or nullptr where it is not offered:
  // contexts() plus aliases plus every checkpoint of the standing generation.
  virtual std::shared_ptr<const Context> find_context(
      std::string_view name) const = 0;

  // Fills `buffer` from `offset`; all of it or an error.
  virtual Result<void> read(std::uint64_t offset,
                            std::span<std::byte> buffer) const = 0;

  // Ways for a front end to serve a read at once, without a thread that may
  // block. Fills `buffer`, or says false: then read() is to be asked.
  virtual bool read_now(std::uint64_t offset,
                        std::span<std::byte> buffer) const = 0;
  // Where the range can be sent from with sendfile(2), at the moment; the
  // export owns the descriptor.
  virtual Place cached(ByteRange range) const = 0;

  // The range may be read soon: a hint, which may block while it is followed.
  virtual Result<void> cache(ByteRange range) const = 0;

  // EROFS unless writable(). `fua`: on stable storage before returning.
  virtual Result<void> write(std::uint64_t offset,
                             std::span<const std::byte> data, bool fua) = 0;
  // May punch holes if `may_trim`. EOPNOTSUPP with `fast_only` where writing
  // zeroes would not be quicker than write().
  virtual Result<void> zero(ByteRange range, bool may_trim, bool fast_only,
                            bool fua) = 0;
  virtual Result<void> trim(ByteRange range, bool fua) = 0;
  virtual Result<void> flush() = 0;
};

}  // namespace blksnap::exports
