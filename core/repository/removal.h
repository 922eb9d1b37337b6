// SPDX-License-Identifier: LGPL-2.1-or-later
// The removal of a point in time of which nothing is wanted any more.
//
// What stands on it takes over what it needs of it. Of each disk, the
// image of the child is committed into that of the point (qemu-img commit: the
// child's part alone is written, however large the point's is), and the result
// becomes the child's. The order, and what a break leaves:
//
//   1. The child's table of digests takes over the entries that it lacks. They
//      say what they said before, so the child is as good at any moment.
//   2. manifest.json of the point becomes manifest.removed.json: from then on
//      it is no point, but its images are still there for those that need them.
//   3. The child's image is committed into the point's. Whatever of it is done,
//      the child reads the same: all that is written lies in the child as well.
//   4. The point's image is renamed over the child's.
//   5. The child's manifest says what it stands on now.
//   6. The point's folder becomes NAME.partial, and is removed.
//
// Before all of that, both images have to be sound and of this repository, used
// by nobody else, and to have room for the merge.
//
// Each step is on stable storage before the next. A break before step 2 has
// changed nothing that can be seen; after it, whoever writes next goes on where
// it was.
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
