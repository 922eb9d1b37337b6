// SPDX-License-Identifier: LGPL-2.1-or-later
// The removal of a point in time of which nothing is wanted any more.
//
// What stands on it takes over what it needs of it, in the steps of FORMAT.md,
// "Removal". Before the first of them, all images have to be sound and of this
// repository, used by nobody else, on one file system, and to have room for the
// merge. Each step is on stable storage before the next.
#pragma once

#include "base/result.h"
#include "repository/repository.h"

namespace blksnap::repo {

// One of the listing's points. EBUSY while it, or what stands on it, is being
// read. For the repository's one writer.
Result<void> remove_point(const Repository& repository, const Listing& listing,
                          const Point& point);

// Goes on with one that broke: one of those in listing.removed.
Result<void> finish_removal(const Repository& repository,
                            const Listing& listing, const Point& point);

}  // namespace blksnap::repo
