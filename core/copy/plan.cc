// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy/plan.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

namespace blksnap::copy {
namespace {

// Flags of the NBD spec ("base:allocation") and of QEMU's docs/interop/nbd.rst.
// Holes are not looked at: a hole that does not read as zeroes has to be read.
constexpr std::uint32_t kStateZero = 2;
constexpr std::uint32_t kStateDirty = 1;

// 64 Mi extents are 1 GiB of memory: more is a server that plays with us.
constexpr std::size_t kMaxExtents = std::size_t{1} << 26;

// Walks one context's extents piecewise.
class Cursor {
 public:
  explicit Cursor(const std::vector<Extent>& extents) : extents_(extents) {}

  std::uint64_t left() const { return extents_[at_].length - used_; }
  std::uint32_t flags() const { return extents_[at_].flags; }
  bool done() const { return at_ == extents_.size(); }
  // bytes <= left()
  void advance(std::uint64_t bytes) {
    used_ += bytes;
    if (used_ == extents_[at_].length) {
      ++at_;
      used_ = 0;
    }
  }

 private:
  const std::vector<Extent>& extents_;
  std::size_t at_ = 0;
  std::uint64_t used_ = 0;
};

Error broken(std::string_view what) {
  return refuse(
      EPROTO, "the server's block status makes no sense: " + std::string(what));
}

Result<void> check(std::string_view context,
                   const std::vector<Extent>& extents) {
  if (extents.empty()) return broken("nothing about " + std::string(context));
  for (const Extent& extent : extents)
    if (extent.length == 0)
      return broken("an empty extent of " + std::string(context));
  return {};
}

}  // namespace

CopyPlan::CopyPlan(std::uint64_t size, bool with_allocation, bool with_changes)
    : with_allocation_(with_allocation),
      with_changes_(with_changes),
      builder_(ByteRange{0, size}, kMaxExtents) {
  if (!with_allocation && !with_changes) builder_.add(size, kRead);
}

Result<void> CopyPlan::add(ByteRange asked, const BlockStatus& status) {
  // Contexts that are not there say "unknown", which is to be read.
  std::optional<Cursor> allocation;
  std::optional<Cursor> changes;
  if (with_allocation_) {
    if (auto sane = check("base:allocation", status.allocation); !sane)
      return sane.error();
    allocation.emplace(status.allocation);
  }
  if (with_changes_) {
    if (auto sane = check("the dirty bitmap", status.changes); !sane)
      return sane.error();
    for (const Extent& extent : status.changes)
      if (extent.flags > kStateDirty)
        return broken("a dirty flag that is neither 0 nor 1");
    changes.emplace(status.changes);
  }

  // Ends with the context that covers least: what lies beyond is asked for
  // again, whatever the other one said about it.
  const std::uint64_t covered_before = covered_end();
  std::uint64_t offset = asked.offset;
  while (offset < asked.end() && !(allocation && allocation->done()) &&
         !(changes && changes->done())) {
    std::uint64_t step = asked.end() - offset;
    if (allocation) step = std::min(step, allocation->left());
    if (changes) step = std::min(step, changes->left());
    const bool dirty = !changes || changes->flags() == kStateDirty;
    const bool zero = allocation && (allocation->flags() & kStateZero) != 0;
    if (allocation) allocation->advance(step);
    if (changes) changes->advance(step);
    offset += step;
    builder_.add(offset, !dirty ? kLeave : zero ? kZero : kRead);
    if (builder_.covered_end() < offset)
      return refuse(ENOMEM, "the export is too fragmented: over " +
                                std::to_string(kMaxExtents) + " extents");
  }
  if (covered_end() <= covered_before) return broken("it does not advance");
  return {};
}

CopyPlan CopyPlan::after(std::uint64_t position) const {
  CopyPlan rest = *this;
  rest.builder_ = ExtentBuilder(builder_.range(), kMaxExtents);
  std::uint64_t end = 0;
  for (const Extent& extent : extents()) {
    end += extent.length;
    rest.builder_.add(std::min(position, end), kLeave);
    rest.builder_.add(end, extent.flags);
  }
  return rest;
}

CopyPlan CopyPlan::in_units_of(std::uint64_t unit) const {
  CopyPlan coarse = *this;
  coarse.builder_ = ExtentBuilder(builder_.range(), kMaxExtents);
  const std::uint64_t mask = unit - 1;
  std::uint64_t end = 0;
  // Of what lies between the last boundary and `end`.
  std::uint32_t pending = 0;
  for (const Extent& extent : extents()) {
    const std::uint64_t start = end;
    end += extent.length;
    if ((start & mask) != 0) {
      if (extent.flags != pending) pending = kRead;
      if (end < (start | mask) + 1) continue;
      coarse.builder_.add((start | mask) + 1, pending);
    }
    coarse.builder_.add(end & ~mask, extent.flags);
    pending = extent.flags;
  }
  coarse.builder_.add(end, pending);
  return coarse;
}

std::uint64_t CopyPlan::work() const {
  std::uint64_t bytes = 0;
  for (const Extent& extent : extents())
    if (extent.flags != kLeave) bytes += extent.length;
  return bytes;
}

}  // namespace blksnap::copy
