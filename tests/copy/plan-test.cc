// SPDX-License-Identifier: LGPL-2.1-or-later
// What a pull makes of block status, sane or not.
#include <doctest/doctest.h>

#include <cerrno>

#include "copy/plan.h"
#include "copy/source.h"

using namespace blksnap;
using namespace blksnap::copy;

namespace {
constexpr std::uint64_t kSize = 1000;
constexpr ByteRange kAll{0, kSize};
constexpr std::uint32_t kHole = 1, kHoleZero = 3, kDirty = 1;
using Extents = std::vector<Extent>;
}  // namespace

TEST_CASE("without contexts everything is read") {
  const CopyPlan plan(kSize, false, false);
  CHECK(plan.complete());
  CHECK(plan.extents() == Extents{{kSize, kRead}});
  CHECK(plan.work() == kSize);
  CHECK(CopyPlan(0, false, false).complete());
}

TEST_CASE("a full copy zeroes what reads as zeroes, and that alone") {
  CopyPlan plan(kSize, true, false);
  const Extents allocation{{100, 0}, {200, kHoleZero}, {300, kHole}, {400, 2}};
  REQUIRE(plan.add(kAll, {allocation, {}}).has_value());
  CHECK(plan.complete());
  CHECK(plan.extents() ==
        Extents{{100, kRead}, {200, kZero}, {300, kRead}, {400, kZero}});
}

TEST_CASE("an incremental one leaves what is clean, zero or not") {
  CopyPlan plan(kSize, true, true);
  REQUIRE(plan.add(kAll, {{{500, 0}, {500, kHoleZero}},
                          {{250, 0}, {500, kDirty}, {250, 0}}})
              .has_value());
  CHECK(plan.extents() ==
        Extents{{250, kLeave}, {250, kRead}, {250, kZero}, {250, kLeave}});
  CHECK(plan.work() == 500);
}

TEST_CASE("contexts that cover differently count as far as the shorter") {
  CopyPlan plan(kSize, true, true);
  REQUIRE(plan.add(kAll, {{{300, 0}}, {{100, 0}, {900, kDirty}}}).has_value());
  CHECK(plan.covered_end() == 300);
  CHECK_FALSE(plan.complete());
  // Asked again from the start of a block that was covered in part.
  REQUIRE(plan.add({200, 800}, {{{5000, kHoleZero}}, {{300, 0}}}).has_value());
  CHECK(plan.covered_end() == 500);
  REQUIRE(plan.add({500, 500}, {{{500, 0}}, {{500, kDirty}}}).has_value());
  CHECK(plan.complete());
  CHECK(plan.extents() ==
        Extents{{100, kLeave}, {200, kRead}, {200, kLeave}, {500, kRead}});
}

TEST_CASE("an answer may run past the question, but does not count there") {
  CopyPlan plan(kSize, false, true);
  REQUIRE(plan.add({0, 400}, {{}, {{UINT32_MAX, kDirty}}}).has_value());
  CHECK(plan.covered_end() == 400);
}

TEST_CASE("answers that make no sense are errors") {
  CopyPlan plan(kSize, true, true);
  const Extents good{{kSize, 0}};
  SUBCASE("a context is missing") {
    CHECK(plan.add(kAll, {good, {}}).error().code == EPROTO);
  }
  SUBCASE("the other is") {
    CHECK(plan.add(kAll, {{}, good}).error().code == EPROTO);
  }
  SUBCASE("an extent is empty") {
    CHECK(plan.add(kAll, {good, {{0, 0}, {kSize, 0}}}).error().code == EPROTO);
    CHECK(plan.add(kAll, {{{kSize, 0}, {0, 0}}, good}).error().code == EPROTO);
  }
  SUBCASE("dirty is neither 0 nor 1") {
    CHECK(plan.add(kAll, {good, {{kSize, 2}}}).error().code == EPROTO);
    CHECK(plan.add(kAll, {good, {{kSize, 3}}}).error().code == EPROTO);
  }
  SUBCASE("it does not advance") {
    REQUIRE(plan.add(kAll, {{{300, 0}}, good}).has_value());
    CHECK(plan.add({200, 800}, {{{100, 0}}, good}).error().code == EPROTO);
  }
}

TEST_CASE("a unit of which something is to be read is read in whole") {
  const auto coarse = [](const Extents& allocation, const Extents& changes) {
    CopyPlan plan(kSize, true, true);
    REQUIRE(plan.add(kAll, {allocation, changes}).has_value());
    const CopyPlan rounded = plan.in_units_of(64);
    CHECK(rounded.complete());
    return rounded.extents();
  };
  const Extents data{{kSize, 0}}, zero{{kSize, kHoleZero}};
  // A piece in the middle of a unit, over a boundary, and at the odd end.
  CHECK(
      coarse(data, {{70, 0}, {10, kDirty}, {100, 0}, {20, kDirty}, {800, 0}}) ==
      Extents{{64, kLeave}, {192, kRead}, {744, kLeave}});
  CHECK(coarse(data, {{120, 0}, {16, kDirty}, {864, 0}}) ==
        Extents{{64, kLeave}, {128, kRead}, {808, kLeave}});
  CHECK(coarse(data, {{999, 0}, {1, kDirty}}) ==
        Extents{{960, kLeave}, {40, kRead}});
  // Zeroes stay zeroes where there is nothing else.
  CHECK(coarse(zero, {{128, 0}, {128, kDirty}, {744, 0}}) ==
        Extents{{128, kLeave}, {128, kZero}, {744, kLeave}});
  CHECK(coarse(zero, {{100, 0}, {156, kDirty}, {744, 0}}) ==
        Extents{{64, kLeave}, {64, kRead}, {128, kZero}, {744, kLeave}});
  CHECK(coarse({{100, 0}, {900, kHoleZero}}, {{kSize, kDirty}}) ==
        Extents{{128, kRead}, {872, kZero}});
  // As it was.
  CHECK(coarse(data, {{64, kDirty}, {64, 0}, {872, kDirty}}) ==
        Extents{{64, kRead}, {64, kLeave}, {872, kRead}});
}

TEST_CASE("the checkpoint is a word of the description") {
  CHECK(value_in("a b, checkpoint=3f0c.7 size=1", "checkpoint") == "3f0c.7");
  CHECK(value_in("checkpoint=x", "checkpoint") == "x");
  CHECK(value_in("", "checkpoint") == "");
  CHECK(value_in("nocheckpoint=x", "checkpoint") == "");
  CHECK(value_in("checkpoints=x", "checkpoint") == "");
  CHECK(value_in("checkpoint", "checkpoint") == "");
  CHECK(value_in("a, checkpoint=3f0c.7 quiesced=frozen", "quiesced") ==
        "frozen");
  CHECK(value_in("checkpoint=a\nb=c", "checkpoint") == "");
  CHECK(value_in("checkpoint=", "checkpoint") == "");
}
