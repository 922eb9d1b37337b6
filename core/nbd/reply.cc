// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/reply.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/zero.h"
#include "nbd/error.h"

namespace blksnap::nbd {

Reply error_reply(const Request& request, Headers headers, const Error& error) {
  Reply reply;
  reply.error = true;
  const std::uint32_t value = nbd_error(error.code, request);
  if (headers == Headers::kSimple) {
    append_simple_reply(reply.head, request.cookie, value);
    return reply;
  }
  const std::string_view message =
      std::string_view(error.message).substr(0, kMaxString);
  append_chunk(reply.head, request, headers, NBD_REPLY_FLAG_DONE,
               NBD_REPLY_TYPE_ERROR, sizeof(wire::ErrorChunk) + message.size());
  append(reply.head,
         wire::ErrorChunk{.error = wire::U32(value),
                          .message_length = wire::U16(
                              static_cast<std::uint16_t>(message.size()))});
  append(reply.head, message);
  return reply;
}

Reply done_reply(const Request& request, Headers headers) {
  Reply reply;
  if (headers == Headers::kSimple) {
    append_simple_reply(reply.head, request.cookie, 0);
  } else {
    append_chunk(reply.head, request, headers, NBD_REPLY_FLAG_DONE,
                 NBD_REPLY_TYPE_NONE, 0);
  }
  return reply;
}

namespace {

// What is left without the blocks of zeroes at both ends: [begin, end).
std::pair<std::size_t, std::size_t> dense_part(
    std::span<const std::byte> data) {
  std::size_t begin = 0, end = data.size();
  while (begin < end &&
         all_zero(data.subspan(begin, std::min(kHoleBytes, end - begin))))
    begin += std::min(kHoleBytes, end - begin);
  while (end > begin) {
    const std::size_t last = (end - 1) / kHoleBytes * kHoleBytes;
    if (!all_zero(data.subspan(last, end - last))) break;
    end = last;
  }
  return {begin, end};
}

void append_hole(Reply& reply, const Request& request, Headers headers,
                 std::size_t begin, std::size_t end, bool last) {
  if (begin == end) return;
  append_chunk(reply.head, request, headers, last ? NBD_REPLY_FLAG_DONE : 0,
               NBD_REPLY_TYPE_OFFSET_HOLE,
               sizeof(wire::U64) + sizeof(wire::U32));
  append(reply.head, wire::U64(request.offset + begin));
  append(reply.head, wire::U32(static_cast<std::uint32_t>(end - begin)));
}

void append_data_header(Reply& reply, const Request& request, Headers headers,
                        std::size_t begin, std::size_t end) {
  append_chunk(reply.head, request, headers, NBD_REPLY_FLAG_DONE,
               NBD_REPLY_TYPE_OFFSET_DATA, sizeof(wire::U64) + (end - begin));
  append(reply.head, wire::U64(request.offset + begin));
}

}  // namespace

Reply read_reply(const Request& request, Headers headers, Buffer data) {
  assert(data.span().size() == request.length);
  Reply reply;
  std::size_t begin = 0, end = request.length;
  if (headers == Headers::kSimple) {
    append_simple_reply(reply.head, request.cookie, 0);
  } else {
    if (!(request.flags & NBD_CMD_FLAG_DF))
      std::tie(begin, end) = dense_part(data.span());
    // Chunks may come in any order: what has the data ends the reply.
    append_hole(reply, request, headers, 0, begin, begin == end);
    append_hole(reply, request, headers, end, request.length, false);
    if (begin != end || request.length == 0)
      append_data_header(reply, request, headers, begin, end);
  }
  reply.data = std::move(data);
  reply.body_offset = begin;
  reply.body_size = end - begin;
  return reply;
}

Reply read_reply(const Request& request, Headers headers, Place file) {
  Reply reply;
  if (headers == Headers::kSimple) {
    append_simple_reply(reply.head, request.cookie, 0);
  } else {
    append_data_header(reply, request, headers, 0, request.length);
  }
  reply.file = file;
  reply.body_size = request.length;
  return reply;
}

Reply hole_reply(const Request& request, Headers headers) {
  Reply reply;
  append_hole(reply, request, headers, 0, request.length, true);
  return reply;
}

namespace {

// Puts descriptors, 32 or 64 bits wide, into the extents' own memory: none is
// larger than its extent, so none gets in the way of those to come. Bytes.
template <class Descriptor>
std::size_t encode_in_place(std::vector<Extent>& extents) {
  static_assert(sizeof(Descriptor) <= sizeof(Extent));
  using Number = decltype(Descriptor::length);
  using Native = typename Number::value_type;
  auto* to = reinterpret_cast<std::byte*>(extents.data());
  for (const Extent& at : extents) {
    const Extent extent = at;
    const Descriptor one{.length = Number(static_cast<Native>(extent.length)),
                         .flags = Number(static_cast<Native>(extent.flags))};
    std::memcpy(to, &one, sizeof one);
    to += sizeof one;
  }
  return extents.size() * sizeof(Descriptor);
}

Reply status_chunk(const Request& request, Headers headers,
                   ContextStatus& status, bool last) {
  Reply reply;
  const std::size_t count = status.extents.size();
  const bool extended = headers == Headers::kExtended;
  reply.body_size =
      extended ? encode_in_place<wire::ExtendedDescriptor>(status.extents)
               : encode_in_place<wire::BlockDescriptor>(status.extents);
  reply.descriptors = std::move(status.extents);
  const std::size_t before = extended ? 8 : 4;  // context id, count
  append_chunk(
      reply.head, request, headers, last ? NBD_REPLY_FLAG_DONE : 0,
      extended ? NBD_REPLY_TYPE_BLOCK_STATUS_EXT : NBD_REPLY_TYPE_BLOCK_STATUS,
      before + reply.body_size);
  append(reply.head, wire::U32(status.id));
  if (extended)
    append(reply.head, wire::U32(static_cast<std::uint32_t>(count)));
  return reply;
}

}  // namespace

Reply status_reply(const Request& request, Headers headers,
                   std::vector<ContextStatus> contexts) {
  assert(!contexts.empty());
  Reply first;
  std::unique_ptr<Reply>* next = nullptr;
  for (ContextStatus& status : contexts) {
    Reply chunk =
        status_chunk(request, headers, status, &status == &contexts.back());
    if (!next) {
      first = std::move(chunk);
      next = &first.next;
    } else {
      *next = std::make_unique<Reply>(std::move(chunk));
      next = &(*next)->next;
    }
  }
  return first;
}

}  // namespace blksnap::nbd
