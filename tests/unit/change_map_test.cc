// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/change_map.h"

#include <cerrno>

#include "fake_kernel.h"
#include "kernel/held_snapshot.h"
#include "result.h"

using namespace blksnap;

namespace {

Result<cbt::ChangeMap> read(const kernel::Filter& filter) {
  auto frozen = filter.read_map();
  if (!frozen) return frozen.error();
  return exports::make_change_map(filter, std::move(*frozen));
}

}  // namespace

TEST_CASE("change map: from the kernel") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(3 * FakeKernel::kBlock - 512, 'x'));
  std::vector<kernel::Filter> filters;
  filters.push_back(*kernel::Filter::open(fake.device("vdb"), fake));
  REQUIRE(why(filters[0].attach()) == "");
  fake.write("vdb", FakeKernel::kBlock, "new");
  const auto held = kernel::HeldSnapshot::take(*kernel::Control::open(fake),
                                               filters, "/tmp", 4096);
  REQUIRE(why(held) == "");
  // After the take: not in the frozen map.
  fake.write("vdb", 0, "newer");

  const auto map = read(filters[0]);
  REQUIRE(why(map) == "");
  CHECK(map->capacity() == 3 * FakeKernel::kBlock - 512);
  CHECK(map->taken().number == 1);
  CHECK(map->taken().generation == filters[0].cbt_info()->generation);
  CHECK(map->bytes() == std::vector<std::uint8_t>{0, 1, 0});

  const std::uint64_t instant = filters[0].instants()->takes.at(0).id;
  CHECK(map->taken().instant == instant);
  const auto history = exports::read_history(filters[0]);
  REQUIRE(why(history) == "");
  CHECK(history->last() == map->taken());
  SUBCASE("of a module that keeps no instants") {
    fake.tells_instants = false;
    const cbt::Checkpoint taken = {map->taken().generation, 1};
    CHECK(read(filters[0])->taken() == taken);
    CHECK(exports::read_history(filters[0])->last() == taken);
    fake.fail_after(1, EIO);
    CHECK(code(exports::read_history(filters[0])) == EIO);
  }
  SUBCASE("replaced while it is read") {
    fake.after_map_read = [&] { fake.new_generation("vdb"); };
    CHECK(code(read(filters[0])) == EAGAIN);
  }
  SUBCASE("of a device that is larger than it") {
    fake.lie_about_capacity(1 << 20);
    CHECK(code(read(filters[0])) == EINVAL);
  }
  SUBCASE("calls that fail") {
    for (int call = 0; call < 5; ++call) {
      fake.fail_after(call, EIO);
      CHECK(code(read(filters[0])) == EIO);
    }
  }
}
