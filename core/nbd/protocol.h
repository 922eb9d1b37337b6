// SPDX-License-Identifier: LGPL-2.1-or-later
// The numbers of the NBD protocol, under the names that its specification
// (doc/proto.md of the NBD project, "Values"; its branch extension-ext-header
// for extended headers) gives them, and their names for logs. Nothing here does
// anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace blksnap::nbd {

// "Handshake" and "Transmission": magic numbers.
inline constexpr std::uint64_t NBDMAGIC = 0x4e42444d41474943;
inline constexpr std::uint64_t IHAVEOPT = 0x49484156454f5054;
inline constexpr std::uint64_t NBD_REP_MAGIC = 0x0003e889045565a9;
inline constexpr std::uint32_t NBD_REQUEST_MAGIC = 0x25609513;
inline constexpr std::uint32_t NBD_SIMPLE_REPLY_MAGIC = 0x67446698;
inline constexpr std::uint32_t NBD_STRUCTURED_REPLY_MAGIC = 0x668e33ef;
inline constexpr std::uint32_t NBD_EXTENDED_REQUEST_MAGIC = 0x21e41c71;
inline constexpr std::uint32_t NBD_EXTENDED_REPLY_MAGIC = 0x6e8a278c;

// "Handshake flags" and "Client flags".
inline constexpr std::uint16_t NBD_FLAG_FIXED_NEWSTYLE = 1 << 0;
inline constexpr std::uint16_t NBD_FLAG_NO_ZEROES = 1 << 1;
inline constexpr std::uint32_t NBD_FLAG_C_FIXED_NEWSTYLE = 1 << 0;
inline constexpr std::uint32_t NBD_FLAG_C_NO_ZEROES = 1 << 1;

// "Transmission flags".
inline constexpr std::uint16_t NBD_FLAG_HAS_FLAGS = 1 << 0;
inline constexpr std::uint16_t NBD_FLAG_READ_ONLY = 1 << 1;
inline constexpr std::uint16_t NBD_FLAG_SEND_FLUSH = 1 << 2;
inline constexpr std::uint16_t NBD_FLAG_SEND_FUA = 1 << 3;
inline constexpr std::uint16_t NBD_FLAG_ROTATIONAL = 1 << 4;
inline constexpr std::uint16_t NBD_FLAG_SEND_TRIM = 1 << 5;
inline constexpr std::uint16_t NBD_FLAG_SEND_WRITE_ZEROES = 1 << 6;
inline constexpr std::uint16_t NBD_FLAG_SEND_DF = 1 << 7;
inline constexpr std::uint16_t NBD_FLAG_CAN_MULTI_CONN = 1 << 8;
inline constexpr std::uint16_t NBD_FLAG_SEND_CACHE = 1 << 10;
inline constexpr std::uint16_t NBD_FLAG_SEND_FAST_ZERO = 1 << 11;
inline constexpr std::uint16_t NBD_FLAG_BLOCK_STATUS_PAYLOAD = 1 << 12;

// "Option types".
enum Option : std::uint32_t {
  NBD_OPT_EXPORT_NAME = 1,
  NBD_OPT_ABORT = 2,
  NBD_OPT_LIST = 3,
  NBD_OPT_STARTTLS = 5,
  NBD_OPT_INFO = 6,
  NBD_OPT_GO = 7,
  NBD_OPT_STRUCTURED_REPLY = 8,
  NBD_OPT_LIST_META_CONTEXT = 9,
  NBD_OPT_SET_META_CONTEXT = 10,
  NBD_OPT_EXTENDED_HEADERS = 11,
};

// "Option reply types"; errors have bit 31 set.
enum OptionReply : std::uint32_t {
  NBD_REP_ACK = 1,
  NBD_REP_SERVER = 2,
  NBD_REP_INFO = 3,
  NBD_REP_META_CONTEXT = 4,
  NBD_REP_ERR_UNSUP = (1u << 31) + 1,
  NBD_REP_ERR_INVALID = (1u << 31) + 3,
  NBD_REP_ERR_TLS_REQD = (1u << 31) + 5,
  NBD_REP_ERR_UNKNOWN = (1u << 31) + 6,
  NBD_REP_ERR_TOO_BIG = (1u << 31) + 9,
  NBD_REP_ERR_EXT_HEADER_REQD = (1u << 31) + 10,
};

// Information types of NBD_OPT_INFO and NBD_OPT_GO.
enum Info : std::uint16_t {
  NBD_INFO_EXPORT = 0,
  NBD_INFO_NAME = 1,
  NBD_INFO_DESCRIPTION = 2,
  NBD_INFO_BLOCK_SIZE = 3,
};

// "Request types".
enum Command : std::uint16_t {
  NBD_CMD_READ = 0,
  NBD_CMD_WRITE = 1,
  NBD_CMD_DISC = 2,
  NBD_CMD_FLUSH = 3,
  NBD_CMD_TRIM = 4,
  NBD_CMD_CACHE = 5,
  NBD_CMD_WRITE_ZEROES = 6,
  NBD_CMD_BLOCK_STATUS = 7,
};

// "Command flags".
inline constexpr std::uint16_t NBD_CMD_FLAG_FUA = 1 << 0;
inline constexpr std::uint16_t NBD_CMD_FLAG_NO_HOLE = 1 << 1;
inline constexpr std::uint16_t NBD_CMD_FLAG_DF = 1 << 2;
inline constexpr std::uint16_t NBD_CMD_FLAG_REQ_ONE = 1 << 3;
inline constexpr std::uint16_t NBD_CMD_FLAG_FAST_ZERO = 1 << 4;
inline constexpr std::uint16_t NBD_CMD_FLAG_PAYLOAD_LEN = 1 << 5;

// "Structured reply flags" and "Structured reply types".
inline constexpr std::uint16_t NBD_REPLY_FLAG_DONE = 1 << 0;
enum ReplyType : std::uint16_t {
  NBD_REPLY_TYPE_NONE = 0,
  NBD_REPLY_TYPE_OFFSET_DATA = 1,
  NBD_REPLY_TYPE_OFFSET_HOLE = 2,
  NBD_REPLY_TYPE_BLOCK_STATUS = 5,
  NBD_REPLY_TYPE_BLOCK_STATUS_EXT = 6,
  NBD_REPLY_TYPE_ERROR = (1u << 15) + 1,
};

// "Error values". That most equal Linux errno values is no reason to send an
// errno: nbd_error() of nbd/error.h is the only way from one to the other.
enum ErrorValue : std::uint32_t {
  NBD_EPERM = 1,
  NBD_EIO = 5,
  NBD_ENOMEM = 12,
  NBD_EINVAL = 22,
  NBD_ENOSPC = 28,
  NBD_EOVERFLOW = 75,
  NBD_ENOTSUP = 95,
  NBD_ESHUTDOWN = 108,
};

// What the messages of the transmission phase look like, as negotiated.
enum class Headers {
  kSimple,      // simple replies
  kStructured,  // NBD_OPT_STRUCTURED_REPLY: replies of chunks
  kExtended,    // NBD_OPT_EXTENDED_HEADERS: chunks, and 64-bit lengths
};

// Strings never exceed this many bytes ("Conventions" of the spec).
inline constexpr std::size_t kMaxString = 4096;

// A payload of up to 32 MiB is no denial of service ("Size constraints").
inline constexpr std::uint32_t kMaxPayload = 32 * 1024 * 1024;

// Names for logs and messages; "unknown" for numbers without one.
std::string_view name_of_headers(Headers headers);
std::string_view name_of_option(std::uint32_t option);
std::string_view name_of_command(std::uint16_t command);

}  // namespace blksnap::nbd
