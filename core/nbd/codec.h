// SPDX-License-Identifier: LGPL-2.1-or-later
// Bytes on the wire <-> native values, without I/O. Every structure exists
// twice: as it lies on the wire (namespace wire: big-endian buffers that do
// not convert to integers by accident) and as the rest of the code uses it.
#pragma once

#include <boost/endian/buffers.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "nbd/protocol.h"

namespace blksnap::nbd {

using Bytes = std::vector<std::byte>;

namespace wire {

using U16 = boost::endian::big_uint16_buf_t;
using U32 = boost::endian::big_uint32_buf_t;
using U64 = boost::endian::big_uint64_buf_t;

struct Greeting {    // "Newstyle negotiation", server first
  U64 magic;         // NBDMAGIC
  U64 option_magic;  // IHAVEOPT
  U16 flags;
};
static_assert(sizeof(Greeting) == 18);

struct OptionHeader {
  U64 magic;  // IHAVEOPT
  U32 option;
  U32 length;
};
static_assert(sizeof(OptionHeader) == 16);

struct OptionReplyHeader {  // "Fixed newstyle negotiation"
  U64 magic;                // NBD_REP_MAGIC
  U32 option;
  U32 type;
  U32 length;
};
static_assert(sizeof(OptionReplyHeader) == 20);

struct ExportNameReply {  // NBD_OPT_EXPORT_NAME; 124 zeroes may follow
  U64 size;
  U16 flags;
};
static_assert(sizeof(ExportNameReply) == 10);

struct InfoExport {
  U16 type;
  U64 size;
  U16 flags;
};
static_assert(sizeof(InfoExport) == 12);

struct InfoBlockSize {
  U16 type;
  U32 minimum;
  U32 preferred;
  U32 maximum;
};
static_assert(sizeof(InfoBlockSize) == 14);

struct RequestHeader {  // "Request message"
  U32 magic;            // NBD_REQUEST_MAGIC
  U16 flags;
  U16 type;
  U64 cookie;
  U64 offset;
  U32 length;
};
static_assert(sizeof(RequestHeader) == 28);

struct ExtendedRequestHeader {  // "Request message", extended
  U32 magic;                    // NBD_EXTENDED_REQUEST_MAGIC
  U16 flags;
  U16 type;
  U64 cookie;
  U64 offset;
  U64 length;
};
static_assert(sizeof(ExtendedRequestHeader) == 32);

struct SimpleReply {  // "Simple reply message"
  U32 magic;
  U32 error;
  U64 cookie;
};
static_assert(sizeof(SimpleReply) == 16);

struct ChunkHeader {  // "Structured reply chunk message"
  U32 magic;
  U16 flags;
  U16 type;
  U64 cookie;
  U32 length;
};
static_assert(sizeof(ChunkHeader) == 20);

struct ExtendedChunkHeader {  // "Extended reply chunk message"
  U32 magic;                  // NBD_EXTENDED_REPLY_MAGIC
  U16 flags;
  U16 type;
  U64 cookie;
  U64 offset;  // the request's
  U64 length;
};
static_assert(sizeof(ExtendedChunkHeader) == 32);

struct ErrorChunk {  // NBD_REPLY_TYPE_ERROR; the message follows
  U32 error;
  U16 message_length;
};
static_assert(sizeof(ErrorChunk) == 6);

struct BlockDescriptor {  // NBD_REPLY_TYPE_BLOCK_STATUS, after the context id
  U32 length;
  U32 flags;
};
static_assert(sizeof(BlockDescriptor) == 8);

// NBD_REPLY_TYPE_BLOCK_STATUS_EXT, after the context id and the count, each 32
// bits.
struct ExtendedDescriptor {
  U64 length;
  U64 flags;
};
static_assert(sizeof(ExtendedDescriptor) == 16);

}  // namespace wire

// One request of the transmission phase, as the client sent it: nothing is
// checked but the magic number. check_request() of nbd/request.h is next.
struct Request {
  std::uint16_t flags = 0;
  std::uint16_t type = 0;
  std::uint64_t cookie = 0;  // opaque, echoed
  std::uint64_t offset = 0;  // bytes
  std::uint64_t length = 0;  // bytes; above 32 bits with extended headers only
  // Of NBD_CMD_BLOCK_STATUS: the contexts to tell of. Bit i stands for the
  // i-th that was selected.
  std::uint64_t contexts = ~std::uint64_t{0};
};

// Bytes of a request's header.
constexpr std::size_t request_size(Headers headers) {
  return headers == Headers::kExtended ? sizeof(wire::ExtendedRequestHeader)
                                       : sizeof(wire::RequestHeader);
}
inline constexpr std::size_t kMaxRequestSize =
    sizeof(wire::ExtendedRequestHeader);

// `in` has request_size() bytes. nullopt: the magic number is wrong, so the
// stream is out of step.
std::optional<Request> decode_request(std::span<const std::byte> in,
                                      Headers headers);

// Append raw bytes, a string's bytes, a wire structure.
void append(Bytes& out, const void* bytes, std::size_t count);
void append(Bytes& out, std::string_view text);
template <class Wire>
requires std::is_trivially_copyable_v<Wire> &&
    (alignof(Wire) == 1) void append(Bytes& out, const Wire& structure) {
  append(out, &structure, sizeof structure);
}

// Header of an option reply whose `length` bytes of data the caller appends.
void append_option_reply(Bytes& out, std::uint32_t option, OptionReply type,
                         std::size_t length = 0);

// An error reply with a message for people; cut to kMaxString.
void append_option_error(Bytes& out, std::uint32_t option, OptionReply type,
                         std::string_view message);

// Headers of the transmission phase; data or payload follows. A chunk's is
// structured or extended.
void append_simple_reply(Bytes& out, std::uint64_t cookie, std::uint32_t error);
void append_chunk(Bytes& out, const Request& request, Headers headers,
                  std::uint16_t flags, ReplyType type, std::size_t length);

// Reads the data of an option or the payload of a request front to back. Every
// call says whether the bytes were there; after a false one it is malformed.
class Payload {
 public:
  explicit Payload(std::span<const std::byte> data) : rest_(data) {}

  bool u16(std::uint16_t& value) { return number<wire::U16>(value); }
  bool u32(std::uint32_t& value) { return number<wire::U32>(value); }
  bool u64(std::uint64_t& value) { return number<wire::U64>(value); }
  // A 32-bit length, then so many bytes; false also above kMaxString.
  // `text` points into the data.
  bool string(std::string_view& text);
  std::size_t left() const { return rest_.size(); }

 private:
  template <class Wire, class Native>
  bool number(Native& value) {
    if (rest_.size() < sizeof(Wire)) return false;
    Wire wire;
    std::memcpy(&wire, rest_.data(), sizeof(Wire));
    value = wire.value();
    rest_ = rest_.subspan(sizeof(Wire));
    return true;
  }

  std::span<const std::byte> rest_;
};

}  // namespace blksnap::nbd
