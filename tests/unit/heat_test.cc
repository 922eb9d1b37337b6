// SPDX-License-Identifier: LGPL-2.1-or-later
#include "heat/heat.h"

#include "result.h"

using namespace blksnap;
using heat::Band;
using heat::Heat;
using heat::Part;
using heat::Tally;

namespace {

constexpr std::uint32_t kBlock = 4096;

// The last block has 96 bytes.
cbt::ChangeMap map_of(std::vector<std::uint8_t> bytes) {
  const std::uint64_t capacity = (bytes.size() - 1) * kBlock + 96;
  const auto map =
      cbt::ChangeMap::make(capacity, kBlock, {{}, 9}, std::move(bytes));
  REQUIRE(why(map) == "");
  return *map;
}

}  // namespace

TEST_CASE("heat: bytes by the take that shows their change") {
  const auto map = map_of({0, 3, 3, 1, 9});
  const Tally all = Heat(map, 0).tally({0, map.capacity()});
  CHECK(all[0] == kBlock);
  CHECK(all[1] == kBlock);
  CHECK(all[3] == 2 * kBlock);
  CHECK(all[9] == 96);
  CHECK(all.changed() == 3 * kBlock + 96);
  CHECK(all.of(2, 3) == 2 * kBlock);
  CHECK(all.newest() == 9);
}

TEST_CASE("heat: what is not newer than the take asked for did not change") {
  const auto map = map_of({0, 3, 3, 1, 9});
  const Tally all = Heat(map, 3).tally({0, map.capacity()});
  CHECK(all[0] == 4 * kBlock);
  CHECK(all.changed() == 96);
  CHECK(Heat(map, 9).tally({0, map.capacity()}).newest() == 0);
}

TEST_CASE("heat: ranges end within blocks, and nothing is beyond the end") {
  const auto map = map_of({0, 3, 3, 1, 9});
  const Heat heat(map, 0);
  const Tally part = heat.tally({kBlock - 10, 15});
  CHECK(part[0] == 10);
  CHECK(part[3] == 5);
  CHECK(heat.tally({4 * kBlock, 10 * kBlock})[9] == 96);
  CHECK(heat.tally({100 * kBlock, 10}).changed() == 0);
  CHECK(heat.tally({kBlock, 0}).changed() == 0);
}

TEST_CASE("heat: a bar stands for every number, the newest at its foot") {
  Tally tally;
  tally.add(0, 40);
  tally.add(2, 20);
  tally.add(5, 40);
  CHECK(heat::stack(tally, 100, 10) == std::vector<Part>{{5, 4}, {2, 2}});
}

TEST_CASE("heat: little is seen, and nearly all is not all") {
  Tally little;
  little.add(0, 999999);
  little.add(7, 1);
  CHECK(heat::stack(little, 1000000, 10) == std::vector<Part>{{7, 1}});

  Tally nearly;
  nearly.add(0, 1);
  nearly.add(1, 999998);
  nearly.add(7, 1);
  CHECK(heat::stack(nearly, 1000000, 10) == std::vector<Part>{{7, 1}, {1, 8}});

  Tally all;
  all.add(1, 5);
  CHECK(heat::stack(all, 5, 10) == std::vector<Part>{{1, 10}});
  CHECK(heat::stack(Tally(), 5, 10).empty());
}

TEST_CASE("heat: many takes in few bands") {
  CHECK(heat::bands(1, 3, 12) == std::vector<Band>{{3, 3}, {2, 2}, {1, 1}});
  CHECK(heat::bands(1, 5, 3) == std::vector<Band>{{4, 5}, {2, 3}, {1, 1}});
  const auto many = heat::bands(1, 255, 12);
  CHECK(many.size() == 12);
  CHECK(many.front() == Band{234, 255});
  CHECK(many.back() == Band{1, 13});
}
