// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace blksnap::server {

// One HTTP connection that asks for /metrics, without its socket: bytes in,
// bytes out.
class MetricsHttp {
 public:
  // `text` is called for each answer, and has to outlive this.
  explicit MetricsHttp(const std::function<std::string()>& text);
  ~MetricsHttp();

  void receive(std::string_view bytes);
  // Returns the response to the next request, or nothing until all of the
  // request has come. EPROTO for a malformed request or one with a body: the
  // caller then closes the connection.
  Result<std::optional<std::string>> respond();
  // Does the last response end the connection?
  bool over() const { return over_; }

 private:
  struct Parser;
  void begin();

  const std::function<std::string()>& text_;
  std::string received_;
  std::unique_ptr<Parser> parser_;
  bool over_ = false;
};

}  // namespace blksnap::server
