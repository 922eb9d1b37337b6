// SPDX-License-Identifier: LGPL-2.1-or-later
// A byte that says what was agreed on, then any bytes for requests, with each
// kind of headers: more than a handshake lets a client agree on, and without
// the need to get through one.
#include "nbd/request.h"

#include <cerrno>

#include "../protocol/fake_export.h"
#include "base/log.h"
#include "requests.h"

namespace blksnap::nbd {
namespace {

using Pieces = std::vector<FakeContext::Piece>;

// A small one to write to, or one of 2^60 bytes, of which none can be read.
std::shared_ptr<FakeExport> renewed_export(bool writable, bool large) {
  static const auto small = std::make_shared<FakeExport>("small", 20'000);
  static const auto huge = std::make_shared<FakeExport>("large", 0);
  static const auto content = [] {
    std::fill_n(small->bytes.begin() + 4096, 9000, std::byte{0});
    huge->pretended_size = std::uint64_t{1} << 60;
    huge->before_read = [](std::uint64_t) -> Result<void> {
      return refuse(EIO, "too large to be true");
    };
    return small->bytes;
  }();
  small->bytes = content;
  small->read_write = writable;
  for (const auto& one : {small, huge}) {
    one->calls.clear();
    one->hints.clear();
  }
  return large ? huge : small;
}

std::vector<SelectedContext> make_contexts(unsigned count) {
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  static const std::vector<std::shared_ptr<const FakeContext>> kContexts = {
      std::make_shared<FakeContext>(
          "alternating",
          Pieces{{1, 0}, {2, 3}, {600, 0}, {4096, 3}, {kAll, 0}}),
      std::make_shared<FakeContext>("flat", Pieces{{kAll, 1}}),
      std::make_shared<FakeContext>("far", Pieces{{1ull << 33, 1}, {kAll, 0}}),
      std::make_shared<FakeContext>("short", Pieces{{700, 0}, {15'000, 1}}),
      std::make_shared<FakeContext>("silent", Pieces{}),
      std::make_shared<FakeContext>("broken", Pieces{}, Error(EIO, "broken")),
  };
  std::vector<SelectedContext> selected;
  for (unsigned i = 0; i < std::min<std::size_t>(count, kContexts.size()); ++i)
    selected.push_back({i + 1, kContexts[i]->name(), kContexts[i]});
  return selected;
}

}  // namespace
}  // namespace blksnap::nbd

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace blksnap::nbd;
  blksnap::logger().set_level(blksnap::LogLevel::kOff);
  if (size == 0) return 0;
  const std::uint8_t agreed = *data;
  const std::span in(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  for (const Headers headers :
       {Headers::kSimple, Headers::kStructured, Headers::kExtended}) {
    Agreement agreement;
    agreement.served = renewed_export(agreed & 1, agreed & 2);
    agreement.headers = headers;
    agreement.sizes = advertised_sizes(*agreement.served);
    agreement.sizes_agreed = (agreed & 4) != 0;
    if (headers != Headers::kSimple)
      agreement.contexts = make_contexts(agreed >> 3 & 7);
    agreement.flags = transmission_flags(*agreement.served, headers,
                                         !agreement.contexts.empty());
    serve_requests(in, agreement, true);
  }
  return 0;
}
