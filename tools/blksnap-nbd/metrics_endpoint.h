// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "nbd/listener.h"

namespace blksnap::server {

// "unix:PATH", or "ADDRESS:PORT" with IPv6 addresses in brackets; without an
// address, all of the machine's. EINVAL where it is neither.
Result<std::vector<nbd::ListeningSocket>> listen_for_metrics(
    const std::string& where);

// Answers GET /metrics over HTTP, on a thread of its own.
class MetricsEndpoint {
 public:
  // `text` is called on that thread for each answer. Owns the sockets.
  MetricsEndpoint(std::vector<nbd::ListeningSocket> sockets,
                  std::function<std::string()> text);
  ~MetricsEndpoint();
  MetricsEndpoint(const MetricsEndpoint&) = delete;
  MetricsEndpoint& operator=(const MetricsEndpoint&) = delete;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace blksnap::server
