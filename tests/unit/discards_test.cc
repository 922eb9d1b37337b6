// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/discards.h"

#include <doctest/doctest.h>

#include <utility>

using blksnap::image::Discards;

namespace {

std::pair<std::uint64_t, bool> run(const Discards& discards,
                                   std::uint64_t offset) {
  const auto found = discards.run_at(offset);
  return {found.end, found.discarded};
}

constexpr std::uint64_t kEver = ~std::uint64_t{0};

}  // namespace

TEST_CASE("discards: none") {
  CHECK(Discards().empty());
  CHECK(Discards(512, {0, 0}).empty());
  CHECK(run(Discards(), 12345) == std::pair(kEver, false));
  CHECK(run(Discards(512, {0, 0}), 0) == std::pair(kEver, false));
}

TEST_CASE("discards: runs, from wherever they are asked for") {
  // Blocks 1, 2, and 6 to 24.
  const Discards discards(1000, {0xc6, 0xff, 0xff, 0x01, 0x00});
  CHECK_FALSE(discards.empty());
  CHECK(run(discards, 0) == std::pair(std::uint64_t{1000}, false));
  CHECK(run(discards, 999) == std::pair(std::uint64_t{1000}, false));
  CHECK(run(discards, 1000) == std::pair(std::uint64_t{3000}, true));
  CHECK(run(discards, 2500) == std::pair(std::uint64_t{3000}, true));
  CHECK(run(discards, 3000) == std::pair(std::uint64_t{6000}, false));
  CHECK(run(discards, 6000) == std::pair(std::uint64_t{25000}, true));
  CHECK(run(discards, 15999) == std::pair(std::uint64_t{25000}, true));
  CHECK(run(discards, 25000) == std::pair(kEver, false));
  CHECK(run(discards, 40000) == std::pair(kEver, false));
}

TEST_CASE("discards: to the last bit") {
  const Discards discards(512, {0x80});
  CHECK(run(discards, 0) == std::pair(std::uint64_t{7 * 512}, false));
  CHECK(run(discards, 7 * 512) == std::pair(std::uint64_t{8 * 512}, true));
}
