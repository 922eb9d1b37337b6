// SPDX-License-Identifier: LGPL-2.1-or-later
// Any bytes for a handshake, then any requests, each checked and, if allowed,
// done. Asserts what a hostile client must not be able to change.
#include "nbd/handshake.h"

#include "../protocol/fake_export.h"
#include "base/log.h"
#include "requests.h"

namespace blksnap::nbd {
namespace {

const FakeCatalogue& catalogue() {
  static const auto served = std::make_shared<FakeExport>("x", 1 << 16);
  static const FakeCatalogue both(
      {served, std::make_shared<FakeExport>("y", 512)});
  static const auto content = served->bytes;
  served->bytes = content;
  served->calls.clear();
  served->hints.clear();
  served->read_write = true;
  served->listed = {
      std::make_shared<FakeContext>(
          "base:allocation",
          std::vector<FakeContext::Piece>{{4096, 0}, {5000, 3}, {1 << 16, 0}}),
      std::make_shared<FakeContext>(
          "qemu:dirty-bitmap:a",
          std::vector<FakeContext::Piece>{{4096, 1}, {1 << 16, 0}})};
  return both;
}

void serve(std::span<const std::byte> in, Handshake::Security security) {
  Handshake handshake(catalogue(), security);
  bool encrypted = false;
  Bytes out;
  while (handshake.state() == Handshake::State::kNegotiating) {
    const std::size_t wanted = handshake.wanted();
    REQUIRE(wanted > 0 && wanted <= kMaxOptionData);
    if (in.size() < wanted) return;
    // A copy, so that a look beyond its end is noticed.
    const Bytes part(in.begin(), in.begin() + wanted);
    out.clear();
    handshake.feed(part, out);
    in = in.subspan(wanted);
    // What is sent stays in proportion to what was received.
    REQUIRE(out.size() < 100'000 + wanted * 8);
    if (handshake.state() == Handshake::State::kStartTls) {
      REQUIRE(security == Handshake::Security::kTls && !encrypted);
      handshake.tls_started();
      encrypted = true;
    }
  }
  if (handshake.state() == Handshake::State::kTransmission) {
    // Nobody gets so far in the clear where TLS is required.
    REQUIRE(security == Handshake::Security::kNone || encrypted);
    const Agreement agreement = handshake.take_agreement();
    REQUIRE(agreement.served && agreement.contexts.size() <= kMaxContexts);
    REQUIRE(agreement.contexts.empty() ||
            agreement.headers != Headers::kSimple);
    serve_requests(in, agreement);
  }
}

}  // namespace
}  // namespace blksnap::nbd

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using blksnap::nbd::Handshake;
  blksnap::logger().set_level(blksnap::LogLevel::kOff);
  const std::span in(reinterpret_cast<const std::byte*>(data), size);
  blksnap::nbd::serve(in, Handshake::Security::kNone);
  blksnap::nbd::serve(in, Handshake::Security::kTls);
  return 0;
}
