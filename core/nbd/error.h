// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

#include "nbd/codec.h"

namespace blksnap::nbd {

// The one way from errno to an NBD error value ("Error values" of the spec;
// invariant 7 of the design). What the request was matters: two values may be
// sent only in reply to certain flags. Never 0.
std::uint32_t nbd_error(int code, const Request& request);

}  // namespace blksnap::nbd
