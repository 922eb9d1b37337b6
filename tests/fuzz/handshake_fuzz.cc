// SPDX-License-Identifier: LGPL-2.1-or-later
// libFuzzer: any bytes for a handshake, then any requests, each checked and,
// if allowed, done. Asserts what a hostile client must not be able to change.
#include <cassert>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "../protocol/fake_export.h"
#include "base/log.h"
#include "nbd/execute.h"
#include "nbd/handshake.h"
#include "nbd/request.h"

namespace blksnap::nbd {
namespace {

#define REQUIRE(condition) \
  if (!(condition)) std::abort()

FakeCatalogue& catalogue() {
  static FakeCatalogue* const made = [] {
    logger().set_level(spdlog::level::off);
    auto served = std::make_shared<FakeExport>("x", 1 << 16);
    served->read_write = true;
    served->listed = {
        std::make_shared<FakeContext>("base:allocation",
                                      std::vector<FakeContext::Piece>{
                                          {4096, 0}, {5000, 3}, {1 << 16, 0}}),
        std::make_shared<FakeContext>(
            "qemu:dirty-bitmap:a",
            std::vector<FakeContext::Piece>{{4096, 1}, {1 << 16, 0}})};
    return new FakeCatalogue({served});
  }();
  return *made;
}

void requests(std::span<const std::byte> in, const Agreement& agreement) {
  const std::size_t size = request_size(agreement.headers);
  while (in.size() >= size) {
    auto request = decode_request(in.first(size), agreement.headers);
    in = in.subspan(size);
    if (!request || request->type == NBD_CMD_DISC) return;
    if (request->type == NBD_CMD_BLOCK_STATUS) {
      // As the session does: its payload is read before it is judged.
      const std::size_t payload =
          std::min<std::uint64_t>(payload_length(*request, agreement.headers),
                                  std::min(in.size(), kMaxStatusPayload));
      const auto ids = in.first(payload);
      in = in.subspan(payload);
      if (payload != 0 && !apply_status_payload(*request, ids, agreement))
        continue;
    }
    if (!check_request(*request, agreement)) continue;
    Buffer buffer;
    if (request->type == NBD_CMD_READ || request->type == NBD_CMD_WRITE) {
      REQUIRE(request->length <= kMaxPayload);
      buffer = Buffer(request->length);
      std::memset(buffer.span().data(), 0, buffer.span().size());
    }
    const Reply reply = execute(*request, agreement, std::move(buffer));
    REQUIRE(!reply.head.empty());
  }
}

}  // namespace
}  // namespace blksnap::nbd

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace blksnap::nbd;
  std::span in(reinterpret_cast<const std::byte*>(data), size);
  Handshake handshake(catalogue());
  Bytes out;
  while (handshake.state() == Handshake::State::kNegotiating) {
    const std::size_t wanted = handshake.wanted();
    REQUIRE(wanted > 0 && wanted <= kMaxOptionData);
    if (in.size() < wanted) return 0;
    out.clear();
    handshake.feed(in.first(wanted), out);
    in = in.subspan(wanted);
    // What is sent stays in proportion to what was received.
    REQUIRE(out.size() < 100'000 + wanted * 8);
  }
  if (handshake.state() == Handshake::State::kTransmission) {
    const Agreement agreement = handshake.take_agreement();
    REQUIRE(agreement.served);
    requests(in, agreement);
  }
  return 0;
}
