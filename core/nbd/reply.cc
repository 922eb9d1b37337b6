// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/reply.h"

#include <cassert>
#include <utility>

#include "nbd/error.h"

namespace blksnap::nbd {

Reply error_reply(const Request& request, bool structured, const Error& error) {
  Reply reply;
  const std::uint32_t value = nbd_error(error.code, request);
  if (!structured) {
    append_simple_reply(reply.head, request.cookie, value);
    return reply;
  }
  const std::string_view message =
      std::string_view(error.message).substr(0, kMaxString);
  append_chunk(reply.head, request.cookie, NBD_REPLY_FLAG_DONE,
               NBD_REPLY_TYPE_ERROR, sizeof(wire::ErrorChunk) + message.size());
  append(reply.head,
         wire::ErrorChunk{.error = wire::U32(value),
                          .message_length = wire::U16(
                              static_cast<std::uint16_t>(message.size()))});
  append(reply.head, message);
  return reply;
}

Reply done_reply(const Request& request, bool structured) {
  Reply reply;
  if (structured) {
    append_chunk(reply.head, request.cookie, NBD_REPLY_FLAG_DONE,
                 NBD_REPLY_TYPE_NONE, 0);
  } else {
    append_simple_reply(reply.head, request.cookie, 0);
  }
  return reply;
}

Reply read_reply(const Request& request, bool structured, Buffer data) {
  assert(data.span().size() == request.length);
  Reply reply;
  if (structured) {
    append_chunk(reply.head, request.cookie, NBD_REPLY_FLAG_DONE,
                 NBD_REPLY_TYPE_OFFSET_DATA,
                 sizeof(wire::U64) + data.span().size());
    append(reply.head, wire::U64(request.offset));
  } else {
    append_simple_reply(reply.head, request.cookie, 0);
  }
  reply.data = std::move(data);
  return reply;
}

Reply status_reply(const Request& request,
                   const std::vector<ContextStatus>& contexts) {
  Reply reply;
  std::size_t bytes = 0;
  for (const ContextStatus& status : contexts)
    bytes += sizeof(wire::ChunkHeader) + sizeof(wire::U32) +
             status.extents.size() * sizeof(wire::BlockDescriptor);
  reply.head.reserve(bytes);
  for (const ContextStatus& status : contexts) {
    const bool last = &status == &contexts.back();
    append_chunk(reply.head, request.cookie, last ? NBD_REPLY_FLAG_DONE : 0,
                 NBD_REPLY_TYPE_BLOCK_STATUS,
                 sizeof(wire::U32) +
                     status.extents.size() * sizeof(wire::BlockDescriptor));
    append(reply.head, wire::U32(status.id));
    for (const Extent& extent : status.extents) {
      // No extent is longer than the request, whose length has 32 bits.
      assert(extent.length <= request.length);
      append(reply.head,
             wire::BlockDescriptor{
                 .length = wire::U32(static_cast<std::uint32_t>(extent.length)),
                 .flags = wire::U32(extent.flags)});
    }
  }
  return reply;
}

}  // namespace blksnap::nbd
