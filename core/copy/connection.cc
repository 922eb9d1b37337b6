// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy/connection.h"

#include <poll.h>

#include <array>
#include <cassert>
#include <cerrno>

namespace blksnap::copy {

bool is_uri(std::string_view text) {
  return text.find("://") != text.npos;
}

Error nbd_failure(std::string where) {
  const int code = nbd_get_errno();
  const char* said = nbd_get_error();
  return {code ? code : EIO, std::move(where) + ": " + (said ? said : "?")};
}

Result<void> connect(nbd_handle* handle, Endpoint& endpoint) {
  const int connected =
      endpoint.socket ? nbd_connect_socket(handle, endpoint.socket.release())
                      : nbd_connect_uri(handle, endpoint.name.c_str());
  if (connected == -1) return nbd_failure(endpoint.name);
  return {};
}

Result<void> serve(std::initializer_list<nbd_handle*> connections,
                   std::chrono::milliseconds timeout, const std::string& name) {
  std::array<pollfd, 2> waiting;
  std::array<nbd_handle*, 2> handles;
  std::size_t count = 0;
  assert(connections.size() <= waiting.size());
  for (nbd_handle* handle : connections) {
    if (!handle) continue;
    const unsigned direction = nbd_aio_get_direction(handle);
    short events = 0;
    if (direction & LIBNBD_AIO_DIRECTION_READ) events |= POLLIN;
    if (direction & LIBNBD_AIO_DIRECTION_WRITE) events |= POLLOUT;
    waiting[count] = {nbd_aio_get_fd(handle), events, 0};
    handles[count++] = handle;
  }
  if (::poll(waiting.data(), count, static_cast<int>(timeout.count())) == -1)
    return errno == EINTR ? Result<void>() : fail(errno, "poll " + name);
  for (std::size_t i = 0; i < count; ++i) {
    // One of them may change the state that the other was waited for in.
    const short came = waiting[i].revents;
    const unsigned direction = nbd_aio_get_direction(handles[i]);
    int served = 0;
    if ((came & (POLLIN | POLLHUP | POLLERR)) &&
        (direction & LIBNBD_AIO_DIRECTION_READ))
      served = nbd_aio_notify_read(handles[i]);
    else if ((came & POLLOUT) && (direction & LIBNBD_AIO_DIRECTION_WRITE))
      served = nbd_aio_notify_write(handles[i]);
    if (served == -1) return nbd_failure(name);
  }
  return {};
}

}  // namespace blksnap::copy
