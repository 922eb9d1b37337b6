// SPDX-License-Identifier: LGPL-2.1-or-later
// What both ends of a copy do with a connection of libnbd.
#pragma once

#include <libnbd.h>

#include <chrono>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace blksnap::copy {

struct CloseConnection {
  void operator()(nbd_handle* handle) const { nbd_close(handle); }
};
using Connection = std::unique_ptr<nbd_handle, CloseConnection>;

// Is it a URI, and not the path of a file or a device?
bool is_uri(std::string_view text);

// Where a server is to be found: at a URI, or at the other end of a connected
// socket. `name` stands in messages.
struct Endpoint {
  std::string name;
  UniqueFd socket;  // none: `name` is the URI

  static Endpoint at_uri(std::string uri) { return {std::move(uri), {}}; }
};

// Connects and negotiates; blocks. The handle has all options set by then.
Result<void> connect(nbd_handle* handle, Endpoint& endpoint);

// Waits until something comes or goes on one of the connections (null ones are
// passed over), a signal comes, or the time is over; lets libnbd do what can
// be done. `name` is that of the first, for messages.
Result<void> serve(std::initializer_list<nbd_handle*> connections,
                   std::chrono::milliseconds timeout, const std::string& name);

// What libnbd says about the call that just failed on this thread.
Error nbd_failure(std::string where);

}  // namespace blksnap::copy
