// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/block_status.h"

#include <doctest/doctest.h>

#include <cerrno>

#include "bytes.h"
#include "fake_export.h"
#include "nbd/reply.h"

namespace blksnap::nbd {
namespace {

using Pieces = std::vector<FakeContext::Piece>;
using Extents = std::vector<Extent>;

SelectedContext selected(std::uint32_t id, Pieces pieces, Error error = {}) {
  return {id, "x:" + std::to_string(id),
          std::make_shared<FakeContext>("x:" + std::to_string(id),
                                        std::move(pieces), std::move(error))};
}

std::uint64_t coverage(const ContextStatus& status) {
  std::uint64_t sum = 0;
  for (const Extent& extent : status.extents) sum += extent.length;
  return sum;
}

TEST_CASE("every context covers the request, clipped to it") {
  const SelectedContext contexts[] = {
      selected(1, {{1024, 0}, {4096, 3}, {9999, 0}}),
      selected(2, {{2048, 1}, {8192, 0}})};
  const auto status = block_status(contexts, {512, 4096}, kMaxExtents);
  REQUIRE(status.has_value());
  REQUIRE(status->size() == 2);
  CHECK(status->at(0).id == 1);
  CHECK(status->at(0).extents == Extents{{512, 0}, {3072, 3}, {512, 0}});
  CHECK(status->at(1).id == 2);
  CHECK(status->at(1).extents == Extents{{1536, 1}, {2560, 0}});
}

TEST_CASE("all end where the shortest ends, whichever it is") {
  // Three extents are allowed: the first context reaches 3000 so, the second
  // 700, the third all of the request.
  const Pieces coarse = {{1000, 0}, {2000, 1}, {3000, 0}, {4000, 1}};
  const Pieces fine = {{200, 0}, {500, 1}, {700, 0}, {800, 1}, {4000, 0}};
  const Pieces whole = {{4000, 2}};
  const SelectedContext orders[][3] = {
      {selected(1, coarse), selected(2, fine), selected(3, whole)},
      {selected(1, whole), selected(2, coarse), selected(3, fine)},
      {selected(1, fine), selected(2, whole), selected(3, coarse)}};
  for (const auto& contexts : orders) {
    const auto status = block_status(contexts, {0, 4000}, 3);
    REQUIRE(status.has_value());
    for (const auto& one : *status) {
      CHECK(coverage(one) == 700);
      CHECK(one.extents.size() <= 3);
      for (const Extent& extent : one.extents) CHECK(extent.length != 0);
    }
  }
}

TEST_CASE("one extent each, of equal length, not beyond the request") {
  const SelectedContext contexts[] = {selected(1, {{1 << 30, 0}}),
                                      selected(2, {{300, 0}, {1 << 30, 1}})};
  auto status = block_status(contexts, {100, 1000}, 1);
  REQUIRE(status.has_value());
  CHECK(status->at(0).extents == Extents{{200, 0}});
  CHECK(status->at(1).extents == Extents{{200, 0}});
  status = block_status(contexts, {300, 1000}, 1);
  REQUIRE(status.has_value());
  CHECK(status->at(0).extents == Extents{{1000, 0}});
  CHECK(status->at(1).extents == Extents{{1000, 1}});
}

TEST_CASE("2^20-1 extents are the most in a chunk") {
  Pieces alternating;
  for (std::uint32_t i = 0; i < kMaxExtents + 10; ++i)
    alternating.push_back({(i + 1) * std::uint64_t{512}, i & 1});
  const SelectedContext contexts[] = {selected(1, {{1ull << 40, 0}}),
                                      selected(2, std::move(alternating))};
  const auto status = block_status(contexts, {0, 1 << 30}, kMaxExtents);
  REQUIRE(status.has_value());
  CHECK(status->at(1).extents.size() == (1 << 20) - 1);
  CHECK(coverage(status->at(0)) == coverage(status->at(1)));
}

TEST_CASE("the longest request of 32 bits is one extent") {
  const SelectedContext contexts[] = {selected(1, {{1ull << 40, 0}})};
  const auto status =
      block_status(contexts, {1 << 20, 0xffffffff}, kMaxExtents);
  REQUIRE(status.has_value());
  CHECK(status->at(0).extents == Extents{{0xffffffff, 0}});
  const Reply reply =
      status_reply({.length = 0xffffffff}, Headers::kStructured, *status);
  CHECK(bytes_of(reply) == be<4>(0x668e33ef) + be<2>(1) + be<2>(5) + be<8>(0) +
                               be<4>(12) + be<4>(1) + be<4>(0xffffffff) +
                               be<4>(0));
}

TEST_CASE("a context that fails fails the request") {
  const SelectedContext contexts[] = {
      selected(1, {{4096, 0}}), selected(2, {}, fail(EIO, "read the map"))};
  const auto status = block_status(contexts, {0, 4096}, kMaxExtents);
  REQUIRE_FALSE(status.has_value());
  CHECK(status.error().code == EIO);
  CHECK(status.error().message ==
        "block status of x:2: read the map: Input/output error");
}

TEST_CASE("a context that knows nothing is an error, never an empty answer") {
  const SelectedContext contexts[] = {selected(1, {{4096, 0}}),
                                      selected(2, {{4096, 0}})};
  const auto status = block_status(contexts, {4096, 512}, kMaxExtents);
  REQUIRE_FALSE(status.has_value());
  CHECK(status.error().code == EIO);
}

TEST_CASE("a chunk for each context, the last one done") {
  const Reply reply = status_reply(
      {.type = NBD_CMD_BLOCK_STATUS, .cookie = 9, .length = 4096},
      Headers::kStructured, {{1, {{512, 0}, {3584, 3}}}, {2, {{4096, 1}}}});
  CHECK(bytes_of(reply) == be<4>(0x668e33ef) + be<2>(0) + be<2>(5) + be<8>(9) +
                               be<4>(20) + be<4>(1) + be<4>(512) + be<4>(0) +
                               be<4>(3584) + be<4>(3) + be<4>(0x668e33ef) +
                               be<2>(1) + be<2>(5) + be<8>(9) + be<4>(12) +
                               be<4>(2) + be<4>(4096) + be<4>(1));
}

TEST_CASE("with extended headers lengths and values have 64 bits") {
  constexpr std::uint64_t kTiB = std::uint64_t{1} << 40;
  const Request request{.type = NBD_CMD_BLOCK_STATUS,
                        .cookie = 9,
                        .offset = 512,
                        .length = 8 * kTiB};
  const Reply reply =
      status_reply(request, Headers::kExtended,
                   {{1, {{kTiB, 0}, {7 * kTiB, 3}}}, {2, {{8 * kTiB, 1}}}});
  const auto header = [](int flags, std::size_t length) {
    return be<4>(0x6e8a278c) + be<2>(flags) + be<2>(6) + be<8>(9) + be<8>(512) +
           be<8>(length);
  };
  CHECK(bytes_of(reply) == header(0, 8 + 32) + be<4>(1) + be<4>(2) +
                               be<8>(kTiB) + be<8>(0) + be<8>(7 * kTiB) +
                               be<8>(3) + header(1, 8 + 16) + be<4>(2) +
                               be<4>(1) + be<8>(8 * kTiB) + be<8>(1));
}

TEST_CASE("many contexts share the extents of a reply") {
  CHECK(max_extents(1, false) == (1 << 20) - 1);
  CHECK(max_extents(4, false) == (1 << 20) - 1);
  CHECK(max_extents(kMaxContexts, false) == kMaxReplyExtents / kMaxContexts);
  CHECK(max_extents(kMaxContexts, true) == 1);
}

}  // namespace
}  // namespace blksnap::nbd
