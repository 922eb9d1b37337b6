// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/contexts.h"

namespace blksnap::exports {
namespace {

static_assert(image::kHole == kStateHole && image::kZero == kStateZero);

// What one answer may read to find zeroes, in bytes: a second's worth, of which
// the client reads the less.
constexpr std::uint64_t kMayRead = 1024 * 1024 * 1024;

class MapContext : public Context {
 public:
  MapContext(std::string name, ImagePtr image, MapPtr map,
             cbt::Checkpoint since, cbt::ChangeMap::Flags flags)
      : Context(std::move(name)),
        image_(std::move(image)),
        map_(std::move(map)),
        since_(since),
        flags_(flags) {}

  Result<void> extents(ExtentBuilder& out) const override {
    // A client that sees "unchanged" does not read, so it would never learn
    // from reading that the image is dead.
    if (auto living = image_->alive(); !living) return living;
    map_->changed_since(since_.number, out, flags_);
    return {};
  }

  const MapPtr& map() const { return map_; }
  const cbt::Checkpoint& since() const { return since_; }

 private:
  const ImagePtr image_;
  const MapPtr map_;
  const cbt::Checkpoint since_;
  const cbt::ChangeMap::Flags flags_;
};

// base:allocation of what changed since `since`; the rest has the flags
// `unchanged`, and of the image's flags those in `shown` are shown.
class ChangedAllocationContext : public Context {
 public:
  ChangedAllocationContext(ImagePtr image, MapPtr map, cbt::Checkpoint since,
                           std::uint32_t unchanged, std::uint32_t shown)
      : Context(kBaseAllocation),
        image_(image),
        // Any two different flags.
        changes_("", image, std::move(map), since,
                 {.changed = kStateDirty, .unchanged = 0}),
        unchanged_(unchanged),
        shown_(shown) {}

  Result<void> extents(ExtentBuilder& out) const override {
    ExtentBuilder changes(out.range(), out.max_extents());
    if (auto known = changes_.extents(changes); !known) return known;
    std::uint64_t may_read = kMayRead;
    for (const Extent& extent : changes.extents()) {
      const ByteRange range{out.covered_end(), extent.length};
      if (extent.flags != kStateDirty) {
        if (!out.add(range.end(), unchanged_)) break;
        continue;
      }
      ExtentBuilder part(range, out.max_extents());
      if (auto known = image_->allocation(part, may_read); !known) return known;
      for (const Extent& piece : part.extents()) {
        if (!out.add(out.covered_end() + piece.length, piece.flags & shown_))
          return {};
      }
      if (!part.complete()) break;
    }
    return {};
  }

 private:
  const ImagePtr image_;
  const MapContext changes_;
  const std::uint32_t unchanged_;
  const std::uint32_t shown_;
};

class AllocationContext : public Context {
 public:
  explicit AllocationContext(ImagePtr image)
      : Context(kBaseAllocation), image_(std::move(image)) {}

  Result<void> extents(ExtentBuilder& out) const override {
    std::uint64_t may_read = kMayRead;
    return image_->allocation(out, may_read);
  }

  std::shared_ptr<const Context> among(
      std::span<const std::shared_ptr<const Context>> all) const override {
    if (!image_->reads_for_allocation()) return nullptr;
    const MapContext* oldest = nullptr;
    for (const auto& context : all) {
      const auto* changes = dynamic_cast<const MapContext*>(context.get());
      if (!changes) continue;
      if (!oldest || changes->since().number < oldest->since().number)
        oldest = changes;
    }
    if (!oldest) return nullptr;
    return std::make_shared<ChangedAllocationContext>(
        image_, oldest->map(), oldest->since(), 0, kStateHole | kStateZero);
  }

 private:
  const ImagePtr image_;
};

class DepthContext : public Context {
 public:
  DepthContext() : Context(kAllocationDepth) {}

  Result<void> extents(ExtentBuilder& out) const override {
    out.add(out.range().end(), 1);
    return {};
  }
};

}  // namespace

std::shared_ptr<const Context> make_allocation_context(ImagePtr image) {
  return std::make_shared<AllocationContext>(std::move(image));
}

std::shared_ptr<const Context> make_dirty_context(std::string name,
                                                  ImagePtr image, MapPtr map,
                                                  cbt::Checkpoint since) {
  return std::make_shared<MapContext>(
      std::move(name), std::move(image), std::move(map), since,
      cbt::ChangeMap::Flags{.changed = kStateDirty, .unchanged = 0});
}

std::shared_ptr<const Context> make_changed_context(ImagePtr image, MapPtr map,
                                                    cbt::Checkpoint since) {
  return std::make_shared<ChangedAllocationContext>(
      std::move(image), std::move(map), since, kStateHole, kStateZero);
}

std::shared_ptr<const Context> make_depth_context() {
  return std::make_shared<DepthContext>();
}

std::shared_ptr<const Context> make_changed_depth_context(
    ImagePtr image, MapPtr map, cbt::Checkpoint since) {
  return std::make_shared<MapContext>(
      kAllocationDepth, std::move(image), std::move(map), since,
      cbt::ChangeMap::Flags{.changed = 1, .unchanged = 0});
}

}  // namespace blksnap::exports
