// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/request.h"

#include <cerrno>
#include <string>

namespace blksnap::nbd {

namespace {

// Flags that may come with a command, given what was agreed on ("Command
// flags"). FUA is allowed with all: known clients set it where nothing is
// written.
std::uint16_t allowed_flags(std::uint16_t type, const Agreement& agreement) {
  const std::uint16_t advertised = agreement.flags;
  std::uint16_t flags = 0;
  if (advertised & NBD_FLAG_SEND_FUA) flags |= NBD_CMD_FLAG_FUA;
  switch (type) {
    case NBD_CMD_READ:
      if (advertised & NBD_FLAG_SEND_DF) flags |= NBD_CMD_FLAG_DF;
      break;
    case NBD_CMD_WRITE:
      if (agreement.headers == Headers::kExtended)
        flags |= NBD_CMD_FLAG_PAYLOAD_LEN;
      break;
    case NBD_CMD_WRITE_ZEROES:
      if (advertised & NBD_FLAG_SEND_WRITE_ZEROES)
        flags |= NBD_CMD_FLAG_NO_HOLE;
      if (advertised & NBD_FLAG_SEND_FAST_ZERO) flags |= NBD_CMD_FLAG_FAST_ZERO;
      break;
    case NBD_CMD_BLOCK_STATUS:
      flags |= NBD_CMD_FLAG_REQ_ONE;
      if (advertised & NBD_FLAG_BLOCK_STATUS_PAYLOAD)
        flags |= NBD_CMD_FLAG_PAYLOAD_LEN;
      break;
    default:
      break;
  }
  return flags;
}

bool known(std::uint16_t type) {
  switch (type) {
    case NBD_CMD_READ:
    case NBD_CMD_WRITE:
    case NBD_CMD_FLUSH:
    case NBD_CMD_TRIM:
    case NBD_CMD_CACHE:
    case NBD_CMD_WRITE_ZEROES:
    case NBD_CMD_BLOCK_STATUS:
      return true;
    default:
      return false;
  }
}

bool writes(std::uint16_t type) {
  return type == NBD_CMD_WRITE || type == NBD_CMD_TRIM ||
         type == NBD_CMD_WRITE_ZEROES;
}

std::string text_of(const Request& request) {
  return std::string(name_of_command(request.type)) + " at " +
         std::to_string(request.offset) + "+" + std::to_string(request.length);
}

}  // namespace

std::uint64_t payload_length(const Request& request, Headers headers) {
  const bool payload = request.type == NBD_CMD_WRITE ||
                       (headers == Headers::kExtended &&
                        (request.flags & NBD_CMD_FLAG_PAYLOAD_LEN) != 0);
  return payload ? request.length : 0;
}

Result<void> apply_status_payload(Request& request,
                                  std::span<const std::byte> payload,
                                  const Agreement& agreement) {
  const std::string what = "NBD_CMD_BLOCK_STATUS with a payload";
  if (!(agreement.flags & NBD_FLAG_BLOCK_STATUS_PAYLOAD))
    return refuse(EINVAL, what + ": no metadata context was negotiated");
  Payload in(payload);
  request.contexts = 0;
  if (!in.u64(request.length) || in.left() == 0 || in.left() % 4 != 0)
    return refuse(EINVAL, what + " of " + std::to_string(payload.size()) +
                              " bytes: not a length and a list of contexts");
  std::uint32_t id = 0;
  while (in.u32(id)) {
    // Ids are 1, 2, ... in the order of selection.
    if (id == 0 || id > agreement.contexts.size())
      return refuse(EINVAL, what + ": unknown context " + std::to_string(id));
    const std::uint64_t bit = std::uint64_t{1} << (id - 1);
    if (request.contexts & bit)
      return refuse(
          EINVAL, what + ": context " + std::to_string(id) + " is there twice");
    request.contexts |= bit;
  }
  return {};
}

Result<void> check_request(const Request& request, const Agreement& agreement) {
  const std::uint16_t type = request.type;
  if (!known(type))
    return refuse(EINVAL, "unknown command " + std::to_string(type));
  if (request.flags & ~allowed_flags(type, agreement))
    return refuse(EINVAL, text_of(request) + ": unknown command flags " +
                              std::to_string(request.flags));
  if (writes(type) && (agreement.flags & NBD_FLAG_READ_ONLY))
    return refuse(EPERM, text_of(request) + ": the export is read-only");

  if (type == NBD_CMD_FLUSH) {
    if (request.offset != 0 || request.length != 0)
      return refuse(EINVAL, text_of(request) + ": no range may be given");
    return {};
  }

  if (request.length == 0)
    return refuse(EINVAL, text_of(request) + ": the length is 0");
  const std::uint64_t size = agreement.served->size();
  if (!ByteRange::within(request.offset, request.length, size)) {
    const bool grows = type == NBD_CMD_WRITE || type == NBD_CMD_WRITE_ZEROES;
    return refuse(grows ? ENOSPC : EINVAL, text_of(request) +
                                               ": beyond the export's end at " +
                                               std::to_string(size));
  }
  if (agreement.sizes_agreed &&
      ((request.offset | request.length) & (agreement.sizes.minimum - 1)) != 0)
    return refuse(EINVAL, text_of(request) + ": not a multiple of " +
                              std::to_string(agreement.sizes.minimum));
  if (type == NBD_CMD_READ || type == NBD_CMD_WRITE) {
    if (request.length > agreement.sizes.maximum) {
      // EOVERFLOW tells a client to retry in smaller pieces; the spec keeps
      // it for clients that know chunks.
      const bool overflow =
          type == NBD_CMD_READ && agreement.headers != Headers::kSimple;
      return refuse(overflow ? EOVERFLOW : EINVAL,
                    text_of(request) + ": longer than the maximum of " +
                        std::to_string(agreement.sizes.maximum));
    }
  }
  if (type == NBD_CMD_BLOCK_STATUS && agreement.contexts.empty())
    return refuse(EINVAL,
                  text_of(request) + ": no metadata context was negotiated");
  return {};
}

}  // namespace blksnap::nbd
