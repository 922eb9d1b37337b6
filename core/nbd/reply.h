// SPDX-License-Identifier: LGPL-2.1-or-later
// Replies of the transmission phase, ready to be sent.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "nbd/block_status.h"
#include "nbd/buffer.h"
#include "nbd/codec.h"

namespace blksnap::nbd {

// All of one reply: `head`, then the body, which is a part of `data` or of a
// file, or descriptors. So data goes from the buffer it was read into, or from
// the page cache, to the socket.
struct Reply {
  Bytes head;
  bool error = false;
  Buffer data;
  Place file;                   // fd -1: the body is in `data`
  std::size_t body_offset = 0;  // in `data`
  std::size_t body_size = 0;

  // Of block status: in their memory stand their descriptors for the wire, in
  // body_size bytes. (A million of them are 16 MiB, which need not be there
  // twice.)
  std::vector<Extent> descriptors;
  // The next chunk of the same reply, if there is one.
  std::unique_ptr<Reply> next;

  bool in_file() const { return file.fd >= 0; }
  // Not in_file().
  std::span<const std::byte> body() const {
    if (!descriptors.empty())
      return std::as_bytes(std::span(descriptors)).first(body_size);
    return data.span().subspan(body_offset, body_size);
  }
};

// Simple replies carry no message.
Reply error_reply(const Request& request, Headers headers, const Error& error);
Reply done_reply(const Request& request, Headers headers);

// `data` has request.length bytes. Where replies have chunks and the client did
// not ask for one, zeroes at either end of it are told as holes, in
// multiples of kHoleBytes: of dense data that costs a look at both ends.
inline constexpr std::size_t kHoleBytes = 4096;
Reply read_reply(const Request& request, Headers headers, Buffer data);

// The same, with the data in a file, all in one piece.
Reply read_reply(const Request& request, Headers headers, Place file);
// All of it is a hole. Not simple.
Reply hole_reply(const Request& request, Headers headers);

// One chunk a context; the last one ends the reply. Never simple. Extents have
// lengths below 2^32 unless headers are extended.
Reply status_reply(const Request& request, Headers headers,
                   std::vector<ContextStatus> contexts);

}  // namespace blksnap::nbd
