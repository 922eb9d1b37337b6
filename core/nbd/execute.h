// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "nbd/agreement.h"
#include "nbd/reply.h"

namespace blksnap::nbd {

// Does what a request asks for and makes the reply; never throws. The request
// has passed check_request(). `buffer` has request.length bytes: the data of
// a write, or room for that of a read; otherwise it is empty. `extents` is room
// for those of block status, as much as there is. Whatever comes of it, both
// end up in the reply or are freed. Blocks on I/O; any thread.
//
// A reply without a head, which is none: memory did not suffice even for an
// error. Its client waits for an answer, so the connection has to end.
Reply execute(const Request& request, const Agreement& agreement, Buffer buffer,
              std::vector<Extent> extents = {}) noexcept;

}  // namespace blksnap::nbd
