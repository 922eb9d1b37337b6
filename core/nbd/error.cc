// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/error.h"

#include <cerrno>

namespace blksnap::nbd {

std::uint32_t nbd_error(int code, const Request& request) {
  switch (code) {
    case EPERM:
    case EACCES:
    case EROFS:
      return NBD_EPERM;
    case ENOMEM:
      return NBD_ENOMEM;
    case EINVAL:
      return NBD_EINVAL;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return NBD_ENOSPC;
    case EOVERFLOW:
      return request.type == NBD_CMD_READ ? NBD_EOVERFLOW : NBD_EINVAL;
    case EOPNOTSUPP:
      return request.type == NBD_CMD_WRITE_ZEROES &&
                     (request.flags & NBD_CMD_FLAG_FAST_ZERO) != 0
                 ? NBD_ENOTSUP
                 : NBD_EINVAL;
    case ESHUTDOWN:
      return NBD_ESHUTDOWN;
    default:
      return NBD_EIO;
  }
}

}  // namespace blksnap::nbd
