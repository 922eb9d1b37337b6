// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "nbd/agreement.h"
#include "nbd/codec.h"

namespace blksnap::nbd {

// THE RULE BOOK (invariant 6 of the design): may this client send this
// request? Everything after it believes that the type is known, the flags
// belong to it, the range lies within the export, the length is not 0 (nor
// above the maximum where data travels), writes meet a writable export, and
// block status has contexts. The error's code is an errno that nbd_error()
// turns into what the spec wants sent; its message is for the client's user.
//
// NBD_CMD_DISC has no reply and is not for this function.
Result<void> check_request(const Request& request, const Agreement& agreement);

// Bytes that follow the request's header on the wire, whether or not it is a
// valid one: they must be read in any case to stay in step. With extended
// headers NBD_CMD_FLAG_PAYLOAD_LEN should tell, but QEMU (10.0 and 11.1 at
// least) sends NBD_CMD_WRITE without it, and data all the same.
std::uint64_t payload_length(const Request& request, Headers headers);

// The payload of NBD_CMD_BLOCK_STATUS: effect length, ids of contexts. A valid
// one is shorter than this.
inline constexpr std::size_t kMaxStatusPayload = 8 + 4 * (kMaxContexts + 1);

// Takes the effect length and the contexts from that payload into the request,
// before check_request(). EINVAL: malformed, or with an id that is unknown or
// there twice.
Result<void> apply_status_payload(Request& request,
                                  std::span<const std::byte> payload,
                                  const Agreement& agreement);

}  // namespace blksnap::nbd
