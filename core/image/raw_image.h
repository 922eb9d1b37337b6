// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>

#include "image/image.h"
#include "io/file.h"

namespace blksnap::image {

// A plain file or a block device as it is. Holes of the file are shown as
// holes that read as zeroes.
std::unique_ptr<Image> make_raw_image(std::unique_ptr<io::File> file,
                                      bool writable);

}  // namespace blksnap::image
