// SPDX-License-Identifier: LGPL-2.1-or-later
// What a client gets for its requests, whatever their bytes are.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "fuzz.h"
#include "nbd/execute.h"
#include "nbd/request.h"

namespace blksnap::nbd {

// One chunk, or a simple reply, taken off the front of `in`: its head and what
// follows that. Checks all that is the same for every reply.
struct Part {
  Part(Payload& in, std::span<const std::byte>& rest, const Request& request,
       Headers headers) {
    std::uint32_t magic = 0, short_length = 0;
    std::uint64_t cookie = 0, offset = request.offset;
    if (headers == Headers::kSimple) {
      REQUIRE(in.u32(magic) && in.u32(error) && in.u64(cookie));
      REQUIRE(magic == NBD_SIMPLE_REPLY_MAGIC);
      flags = NBD_REPLY_FLAG_DONE;
      length = in.left();
    } else {
      REQUIRE(in.u32(magic) && in.u16(flags) && in.u16(type) && in.u64(cookie));
      if (headers == Headers::kExtended) {
        REQUIRE(magic == NBD_EXTENDED_REPLY_MAGIC);
        REQUIRE(in.u64(offset) && in.u64(length));
      } else {
        REQUIRE(magic == NBD_STRUCTURED_REPLY_MAGIC);
        REQUIRE(in.u32(short_length));
        length = short_length;
      }
    }
    REQUIRE(cookie == request.cookie && offset == request.offset);
    REQUIRE(length <= in.left());
    rest = rest.subspan(rest.size() - in.left());
    body = rest.first(length);
    rest = rest.subspan(length);
    in = Payload(rest);
  }

  std::uint16_t flags = 0, type = 0;
  std::uint32_t error = 0;
  std::uint64_t length = 0;
  std::span<const std::byte> body;
};

// Bytes told of by a chunk of a read.
inline std::uint64_t check_data(const Part& part, const Request& request) {
  Payload in(part.body);
  std::uint64_t offset = 0, length = 0;
  std::uint32_t hole = 0;
  REQUIRE(in.u64(offset));
  if (part.type == NBD_REPLY_TYPE_OFFSET_HOLE) {
    REQUIRE(in.u32(hole) && in.left() == 0);
    length = hole;
  } else {
    length = in.left();
  }
  REQUIRE(length != 0 && offset >= request.offset);
  REQUIRE(ByteRange::within(offset - request.offset, length, request.length));
  return length;
}

// Bytes told of by a chunk of block status.
inline std::uint64_t check_extents(const Part& part, const Request& request,
                                   bool extended, std::uint32_t& id) {
  Payload in(part.body);
  std::uint32_t count = 0;
  REQUIRE(in.u32(id));
  if (extended) {
    REQUIRE(in.u32(count) && in.left() == count * 16);
  } else {
    count = static_cast<std::uint32_t>(in.left() / 8);
    REQUIRE(in.left() == count * 8);
  }
  REQUIRE(count != 0 && count <= kMaxExtents);
  REQUIRE(count == 1 || !(request.flags & NBD_CMD_FLAG_REQ_ONE));
  std::uint64_t covered = 0;
  for (; count != 0; --count) {
    std::uint64_t length = 0, flags = 0;
    std::uint32_t short_length = 0, short_flags = 0;
    if (extended) {
      REQUIRE(in.u64(length) && in.u64(flags));
    } else {
      REQUIRE(in.u32(short_length) && in.u32(short_flags));
      length = short_length;
    }
    REQUIRE(length != 0 && length <= request.length - covered);
    covered += length;
  }
  return covered;
}

inline void check_error(const Part& part) {
  Payload in(part.body);
  std::uint32_t value = 0;
  std::uint16_t length = 0;
  REQUIRE(in.u32(value) && in.u16(length));
  REQUIRE(value != 0 && length != 0 && in.left() == length);
}

// Reads a reply back, byte by byte. `allowed`: the request was a valid one.
inline void check_reply(const Reply& reply, const Request& request,
                        const Agreement& agreement, bool allowed) {
  std::vector<std::byte> bytes;
  for (const Reply* part = &reply; part; part = part->next.get()) {
    const auto body = part->body();
    bytes.insert(bytes.end(), part->head.begin(), part->head.end());
    bytes.insert(bytes.end(), body.begin(), body.end());
  }
  std::span<const std::byte> rest(bytes);
  Payload in(rest);
  if (agreement.headers == Headers::kSimple) {
    const Part part(in, rest, request, agreement.headers);
    REQUIRE(part.error != 0 || allowed);
    const bool data = request.type == NBD_CMD_READ && part.error == 0;
    REQUIRE(part.body.size() == (data ? request.length : 0));
    return;
  }

  std::uint64_t read = 0, covered = 0, contexts = 0;
  std::uint32_t last_id = 0;
  for (unsigned chunks = 1;; ++chunks) {
    const Part part(in, rest, request, agreement.headers);
    const bool done = (part.flags & NBD_REPLY_FLAG_DONE) != 0;
    REQUIRE(part.flags == (done ? NBD_REPLY_FLAG_DONE : 0));
    REQUIRE(done == rest.empty());
    std::uint32_t id = 0;
    std::uint64_t length = 0;
    const bool extended = agreement.headers == Headers::kExtended;
    switch (part.type) {
      case NBD_REPLY_TYPE_NONE:
        REQUIRE(allowed && chunks == 1 && done && part.body.empty());
        REQUIRE(request.type != NBD_CMD_READ);
        REQUIRE(request.type != NBD_CMD_BLOCK_STATUS);
        return;
      case NBD_REPLY_TYPE_ERROR:
        REQUIRE(chunks == 1 && done);
        return check_error(part);
      case NBD_REPLY_TYPE_OFFSET_DATA:
      case NBD_REPLY_TYPE_OFFSET_HOLE:
        REQUIRE(allowed && request.type == NBD_CMD_READ);
        if (request.flags & NBD_CMD_FLAG_DF)
          REQUIRE(part.type == NBD_REPLY_TYPE_OFFSET_DATA && chunks == 1);
        read += check_data(part, request);
        if (done) REQUIRE(read == request.length);
        break;
      case NBD_REPLY_TYPE_BLOCK_STATUS:
      case NBD_REPLY_TYPE_BLOCK_STATUS_EXT:
        REQUIRE(allowed && request.type == NBD_CMD_BLOCK_STATUS);
        REQUIRE(extended == (part.type == NBD_REPLY_TYPE_BLOCK_STATUS_EXT));
        length = check_extents(part, request, extended, id);
        REQUIRE(chunks == 1 || length == covered);
        covered = length;
        REQUIRE(id > last_id && id <= agreement.contexts.size());
        last_id = id;
        contexts |= std::uint64_t{1} << (id - 1);
        if (done) {
          const std::size_t unused = 64 - agreement.contexts.size();
          REQUIRE(contexts == (request.contexts & ~std::uint64_t{0} >> unused));
        }
        break;
      default:
        std::abort();
    }
    if (done) return;
  }
}

// What everything behind the rule book believes.
inline void check_allowed(const Request& request, const Agreement& agreement) {
  const std::uint64_t size = agreement.served->size();
  if (request.type == NBD_CMD_FLUSH) return;
  REQUIRE(request.length != 0 && request.length <= size);
  REQUIRE(request.offset <= size - request.length);
  if (request.type == NBD_CMD_READ || request.type == NBD_CMD_WRITE)
    REQUIRE(request.length <= kMaxPayload);
  if (request.type == NBD_CMD_WRITE || request.type == NBD_CMD_TRIM ||
      request.type == NBD_CMD_WRITE_ZEROES)
    REQUIRE(agreement.served->writable());
  if (request.type == NBD_CMD_BLOCK_STATUS)
    REQUIRE(!agreement.contexts.empty() && request.contexts != 0);
}

// Takes requests off `in` as a session does, until they end it. `magic`: sees
// to it that every header has the right one.
inline void serve_requests(std::span<const std::byte> in,
                           const Agreement& agreement, bool magic = false) {
  const std::size_t size = request_size(agreement.headers);
  while (in.size() >= size) {
    std::vector<std::byte> header(in.begin(), in.begin() + size);
    in = in.subspan(size);
    if (magic) {
      const wire::U32 right(agreement.headers == Headers::kExtended
                                ? NBD_EXTENDED_REQUEST_MAGIC
                                : NBD_REQUEST_MAGIC);
      std::memcpy(header.data(), &right, sizeof right);
    }
    auto request = decode_request(header, agreement.headers);
    if (!request || request->type == NBD_CMD_DISC) return;

    // What the client says follows, as far as it does. To every payload there
    // is a copy of its own, so that a look beyond its end is noticed.
    const std::uint64_t told = payload_length(*request, agreement.headers);
    if (told > kMaxPayload) return;
    const std::size_t have = std::min<std::uint64_t>(told, in.size());
    const std::vector<std::byte> payload(in.begin(), in.begin() + have);
    in = in.subspan(have);
    Result<void> allowed;
    if (request->type == NBD_CMD_BLOCK_STATUS && told != 0)
      allowed = apply_status_payload(
          *request, std::span(payload).first(std::min(have, kMaxStatusPayload)),
          agreement);
    if (allowed) allowed = check_request(*request, agreement);
    if (!allowed) {
      check_reply(error_reply(*request, agreement.headers, allowed.error()),
                  *request, agreement, false);
      continue;
    }
    check_allowed(*request, agreement);
    Buffer buffer;
    if (request->type == NBD_CMD_READ) buffer = Buffer(request->length);
    if (request->type == NBD_CMD_WRITE) {
      buffer = Buffer(request->length);
      // What did not come is zeroes.
      std::fill(
          std::copy(payload.begin(), payload.end(), buffer.span().begin()),
          buffer.span().end(), std::byte{0});
    }
    check_reply(execute(*request, agreement, std::move(buffer)), *request,
                agreement, true);
  }
}

}  // namespace blksnap::nbd
