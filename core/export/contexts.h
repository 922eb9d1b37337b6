// SPDX-License-Identifier: LGPL-2.1-or-later
// The metadata contexts that images and change maps give.
#pragma once

#include <memory>
#include <string>

#include "cbt/map.h"
#include "export/export.h"
#include "image/image.h"

namespace blksnap::exports {

inline constexpr char kBaseAllocation[] = "base:allocation";
inline constexpr char kDirtyBitmapPrefix[] = "qemu:dirty-bitmap:";
inline constexpr char kAllocationDepth[] = "qemu:allocation-depth";

using ImagePtr = std::shared_ptr<image::Image>;
using MapPtr = std::shared_ptr<const cbt::ChangeMap>;

// base:allocation, as the image knows it. Where that takes reading, and a
// client has selected dirty bitmaps as well, only what is dirty is looked at:
// the rest it has no use for, and it is shown as data.
std::shared_ptr<const Context> make_allocation_context(ImagePtr image);

// A dirty bitmap under `name` (complete, with the prefix): what changed since
// `since`, which the map answers. EIO once the image is not alive.
std::shared_ptr<const Context> make_dirty_context(std::string name,
                                                  ImagePtr image, MapPtr map,
                                                  cbt::Checkpoint since);

// base:allocation of a "+changed" view: what did not change since `since` is a
// hole, but not zero: "look into the layer below". What changed is no hole,
// zero or not, so that a client which copies data copies every change.
std::shared_ptr<const Context> make_changed_context(ImagePtr image, MapPtr map,
                                                    cbt::Checkpoint since);

// qemu:allocation-depth (QEMU docs/interop/nbd.rst): 1 for what is in this
// image, 0 for what is in none. All of an image is in it ...
std::shared_ptr<const Context> make_depth_context();
// ... but of a "+changed" view only what changed since `since`.
std::shared_ptr<const Context> make_changed_depth_context(
    ImagePtr image, MapPtr map, cbt::Checkpoint since);

}  // namespace blksnap::exports
