// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <memory>

#include "image/discards.h"
#include "image/image.h"
#include "io/file.h"

namespace blksnap::image {

// The image block device of a held snapshot, read-only. `alive` tells whether
// the kernel still stands by it (EIO with the cause if not); it is called from
// any thread, and may block briefly. Zeroes are looked for in `discards`, by
// reading: what a discarded block reads as is the device's own affair.
std::unique_ptr<Image> make_snapshot_image(std::unique_ptr<io::File> device,
                                           std::function<Result<void>()> alive,
                                           Discards discards = {});

}  // namespace blksnap::image
