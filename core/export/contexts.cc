// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/contexts.h"

namespace blksnap::exports {
namespace {

static_assert(image::kHole == kStateHole && image::kZero == kStateZero);

class AllocationContext : public Context {
 public:
  explicit AllocationContext(ImagePtr image)
      : Context(kBaseAllocation), image_(std::move(image)) {}

  Result<void> extents(ExtentBuilder& out) const override {
    return image_->allocation(out);
  }

 private:
  const ImagePtr image_;
};

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

 private:
  const ImagePtr image_;
  const MapPtr map_;
  const cbt::Checkpoint since_;
  const cbt::ChangeMap::Flags flags_;
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
  return std::make_shared<MapContext>(
      kBaseAllocation, std::move(image), std::move(map), since,
      cbt::ChangeMap::Flags{.changed = 0, .unchanged = kStateHole});
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
