// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/execute.h"

#include <cerrno>
#include <exception>
#include <new>
#include <utility>
#include <vector>

#include "base/log.h"
#include "nbd/block_status.h"

namespace blksnap::nbd {

namespace {

std::vector<SelectedContext> asked_for(const Request& request,
                                       const Agreement& agreement) {
  std::vector<SelectedContext> some;
  for (std::size_t i = 0; i < agreement.contexts.size(); ++i)
    if (request.contexts >> i & 1) some.push_back(agreement.contexts[i]);
  return some;
}

Result<Reply> perform(const Request& request, const Agreement& agreement,
                      Buffer buffer, std::vector<Extent> extents) {
  exports::Export& served = *agreement.served;
  const ByteRange range{request.offset, request.length};
  const bool fua = (request.flags & NBD_CMD_FLAG_FUA) != 0;
  Result<void> result;
  switch (request.type) {
    case NBD_CMD_READ:
      if (auto read = served.read(range.offset, buffer.span()); !read)
        return read.error();
      return read_reply(request, agreement.headers, std::move(buffer));
    case NBD_CMD_BLOCK_STATUS: {
      const bool one = (request.flags & NBD_CMD_FLAG_REQ_ONE) != 0;
      const auto contexts = asked_for(request, agreement);
      auto status =
          block_status(contexts, range, max_extents(contexts.size(), one),
                       std::move(extents));
      if (!status) return status.error();
      return status_reply(request, agreement.headers,
                          std::move(status.value()));
    }
    case NBD_CMD_WRITE:
      result = served.write(range.offset, std::as_const(buffer).span(), fua);
      break;
    case NBD_CMD_WRITE_ZEROES:
      result = served.zero(range, !(request.flags & NBD_CMD_FLAG_NO_HOLE),
                           (request.flags & NBD_CMD_FLAG_FAST_ZERO) != 0, fua);
      break;
    case NBD_CMD_TRIM:
      result = served.trim(range, fua);
      break;
    case NBD_CMD_CACHE:
      result = served.cache(range);
      break;
    case NBD_CMD_FLUSH:
      // Clients flush read-only exports too; there is nothing to flush.
      if (served.writable()) result = served.flush();
      break;
  }
  if (!result) return result.error();
  return done_reply(request, agreement.headers);
}

Reply failure(const Request& request, const Agreement& agreement,
              const Error& error) {
  // "Cannot be done quickly" is an answer, not a fault.
  if (error.code != EOPNOTSUPP)
    logger().error("{}: {}", agreement.served->name(), error.message);
  return error_reply(request, agreement.headers, error);
}

}  // namespace

Reply execute(const Request& request, const Agreement& agreement, Buffer buffer,
              std::vector<Extent> extents) noexcept {
  try {
    try {
      auto reply =
          perform(request, agreement, std::move(buffer), std::move(extents));
      if (reply) return std::move(reply.value());
      return failure(request, agreement, reply.error());
    } catch (const std::bad_alloc&) {
      const std::string what(name_of_command(request.type));
      return failure(request, agreement, fail(ENOMEM, what));
    } catch (const std::exception& bug) {
      return failure(request, agreement, refuse(EIO, bug.what()));
    }
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace blksnap::nbd
