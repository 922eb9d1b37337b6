// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/extents.h"

#include <doctest/doctest.h>

#include <random>

#include "base/range.h"

using namespace blksnap;

TEST_CASE("range: within() does not wrap") {
  constexpr std::uint64_t kMax = ~std::uint64_t{0};
  CHECK(ByteRange::within(0, 0, 0));
  CHECK(ByteRange::within(10, 0, 10));
  CHECK(ByteRange::within(4, 6, 10));
  CHECK_FALSE(ByteRange::within(4, 7, 10));
  CHECK_FALSE(ByteRange::within(11, 0, 10));
  CHECK_FALSE(ByteRange::within(kMax, 2, 10));
  CHECK_FALSE(ByteRange::within(2, kMax, 10));
}

TEST_CASE("extents: equal neighbours are one") {
  ExtentBuilder out({100, 100}, 8);
  CHECK(out.add(120, 1));
  CHECK(out.add(150, 1));
  CHECK_FALSE(out.add(300, 0));
  CHECK(out.complete());
  CHECK(out.extents() == std::vector<Extent>{{50, 1}, {50, 0}});
}

TEST_CASE("extents: pieces before the range count for nothing") {
  ExtentBuilder out({100, 10}, 8);
  CHECK(out.add(50, 1));
  CHECK(out.add(100, 1));
  CHECK(out.extents().empty());
}

TEST_CASE("extents: the last one may grow when the list is full") {
  ExtentBuilder out({0, 100}, 2);
  CHECK(out.add(10, 0));
  CHECK(out.add(20, 1));
  CHECK(out.add(30, 1));
  CHECK_FALSE(out.add(40, 0));
  CHECK(out.covered_end() == 30);
  CHECK_FALSE(out.complete());
}

TEST_CASE("extents: truncate cuts whole and part extents") {
  ExtentBuilder out({10, 30}, 8);
  out.add(20, 0);
  out.add(30, 1);
  out.add(40, 0);
  SUBCASE("within one") {
    out.truncate(25);
    CHECK(out.extents() == std::vector<Extent>{{10, 0}, {5, 1}});
  }
  SUBCASE("between two") {
    out.truncate(20);
    CHECK(out.extents() == std::vector<Extent>{{10, 0}});
    CHECK(out.covered_end() == 20);
  }
  SUBCASE("beyond the end") {
    out.truncate(50);
    CHECK(out.complete());
  }
}

// A flag per byte says all that extents can say.
TEST_CASE("extents: random pieces agree with a flag per byte") {
  std::mt19937 random(1);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  for (int round = 0; round < 20000; ++round) {
    const ByteRange range{below(30), 1 + below(60)};
    const std::size_t max = 1 + below(6);
    ExtentBuilder out(range, max);
    std::vector<std::uint32_t> model(100);
    std::uint64_t at = 0;
    bool more = true;
    while (more && at < 100) {
      const std::uint64_t end = std::min<std::uint64_t>(100, at + below(12));
      const std::uint32_t flags = static_cast<std::uint32_t>(below(3));
      more = out.add(end, flags);
      std::fill(model.begin() + static_cast<long>(at),
                model.begin() + static_cast<long>(end), flags);
      at = end;
    }
    if (round % 3 == 0) out.truncate(range.offset + 1 + below(range.length));

    REQUIRE(out.extents().size() <= max);
    std::uint64_t offset = range.offset;
    for (std::size_t i = 0; i < out.extents().size(); ++i) {
      const Extent& extent = out.extents()[i];
      REQUIRE(extent.length > 0);
      if (i > 0) REQUIRE(extent.flags != out.extents()[i - 1].flags);
      for (std::uint64_t end = offset + extent.length; offset < end; ++offset) {
        REQUIRE(extent.flags == model[offset]);
      }
    }
    REQUIRE(offset == out.covered_end());
    REQUIRE(offset <= range.end());
    if (round % 3 == 0) continue;
    // It stops early only if one extent more would have been too many.
    if (!out.complete()) {
      REQUIRE(out.extents().size() == max);
      REQUIRE(model[offset] != out.extents().back().flags);
    }
  }
}
