// SPDX-License-Identifier: LGPL-2.1-or-later
// The picture, by cairo: the same drawing as PNG and as SVG.
#pragma once

#include <string>

#include "base/result.h"
#include "map/scene.h"

namespace blksnap::tool {

// The content of a file. The newest change of a cell stands at the foot of its
// bar, and the bar is as high as much of the cell changed: the area of a colour
// is the bytes that changed before that take, so what is hot but small is not
// taken for what is hot and large.
Result<std::string> png_of(const Scene& scene);
Result<std::string> svg_of(const Scene& scene);

}  // namespace blksnap::tool
