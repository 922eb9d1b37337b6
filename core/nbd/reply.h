// SPDX-License-Identifier: LGPL-2.1-or-later
// Replies of the transmission phase, ready to be sent.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "nbd/block_status.h"
#include "nbd/buffer.h"
#include "nbd/codec.h"

namespace blksnap::nbd {

// All of one reply: `head`, then `data`. Sent in one gathering write, so that
// data goes from the buffer it was read into to the socket.
struct Reply {
  Bytes head;
  Buffer data;
};

// `structured`: as negotiated; simple replies otherwise. Simple ones carry no
// message.
Reply error_reply(const Request& request, bool structured, const Error& error);
Reply done_reply(const Request& request, bool structured);

// One chunk with all of the data, so "don't fragment" holds by itself.
// `data` has request.length bytes.
Reply read_reply(const Request& request, bool structured, Buffer data);

// One chunk a context; the last one ends the reply. Structured only.
Reply status_reply(const Request& request,
                   const std::vector<ContextStatus>& contexts);

}  // namespace blksnap::nbd
