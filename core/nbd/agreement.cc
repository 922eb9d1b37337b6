// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/agreement.h"

#include <algorithm>
#include <bit>

namespace blksnap::nbd {

std::uint16_t transmission_flags(const exports::Export& served, Headers headers,
                                 bool contexts) {
  std::uint16_t flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_CACHE;
  if (served.writable()) {
    flags |= NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |
             NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
  } else {
    flags |= NBD_FLAG_READ_ONLY;
  }
  if (served.rotational()) flags |= NBD_FLAG_ROTATIONAL;
  if (headers != Headers::kSimple) flags |= NBD_FLAG_SEND_DF;
  if (headers == Headers::kExtended && contexts)
    flags |= NBD_FLAG_BLOCK_STATUS_PAYLOAD;
  if (served.multi_conn()) flags |= NBD_FLAG_CAN_MULTI_CONN;
  return flags;
}

exports::BlockLimits advertised_sizes(const exports::Export& served) {
  exports::BlockLimits sizes = served.limits();
  // The lowest set bit of the size is the largest power of two dividing it.
  if (const std::uint64_t size = served.size(); size != 0) {
    const std::uint64_t divides = std::uint64_t{1} << std::countr_zero(size);
    if (divides < sizes.minimum)
      sizes.minimum = static_cast<std::uint32_t>(divides);
  }
  sizes.maximum = std::min(sizes.maximum, kMaxPayload);
  sizes.preferred =
      std::clamp(sizes.preferred, std::max(sizes.minimum, 512u), sizes.maximum);
  return sizes;
}

}  // namespace blksnap::nbd
