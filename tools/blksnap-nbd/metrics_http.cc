// SPDX-License-Identifier: LGPL-2.1-or-later
#include "metrics_http.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <cerrno>
#include <cstdint>

namespace blksnap::server {

namespace http = boost::beast::http;

namespace {

constexpr std::uint32_t kMostHeader = 8 * 1024;

using Head = http::response<http::empty_body>;

std::string text_of(const Head& head, const std::string& body) {
  std::string text = head.version() == 10 ? "HTTP/1.0 " : "HTTP/1.1 ";
  text += std::to_string(head.result_int()) + " ";
  text += head.reason();
  text += "\r\n";
  for (const auto& field : head) {
    text += field.name_string();
    text += ": ";
    text += field.value();
    text += "\r\n";
  }
  return text + "\r\n" + body;
}

}  // namespace

struct MetricsHttp::Parser : http::request_parser<http::empty_body> {};

MetricsHttp::MetricsHttp(const std::function<std::string()>& text)
    : text_(text) {
  begin();
}

MetricsHttp::~MetricsHttp() = default;

void MetricsHttp::begin() {
  parser_ = std::make_unique<Parser>();
  parser_->header_limit(kMostHeader);
  parser_->eager(true);  // to the end of the body, which has to be empty
}

void MetricsHttp::receive(std::string_view bytes) {
  received_ += bytes;
}

Result<std::optional<std::string>> MetricsHttp::respond() {
  boost::system::error_code error;
  received_.erase(0, parser_->put(boost::asio::buffer(received_), error));
  if (error && error != http::error::need_more)
    return refuse(EPROTO, error.message());
  if (!parser_->is_done()) return std::optional<std::string>();

  const auto& request = parser_->get();
  Head head(http::status::ok, request.version());
  head.keep_alive(request.keep_alive());
  head.set(http::field::content_type, "text/plain; charset=utf-8");
  std::string body;
  if (request.target() != "/metrics") {
    head.result(http::status::not_found);
    body = "There is /metrics, and nothing else.\n";
  } else if (request.method() != http::verb::get) {
    head.result(http::status::method_not_allowed);
    head.set(http::field::allow, "GET");
  } else {
    head.set(http::field::content_type,
             "text/plain; version=0.0.4; charset=utf-8");
    body = text_();
  }
  head.content_length(body.size());
  over_ = !head.keep_alive();
  begin();
  return std::optional(text_of(head, body));
}

}  // namespace blksnap::server
