// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/filter.h"

#include <cerrno>
#include <span>

#include "fake_kernel.h"
#include "kernel/held_snapshot.h"
#include "result.h"

using namespace blksnap;
using kernel::Filter;
using kernel::Sectors;

TEST_CASE("filter: attach and detach") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(8192, 'x'));
  const auto filter = Filter::open(fake.device("vdb"), fake);
  REQUIRE(why(filter) == "");
  CHECK(*filter->attach());
  CHECK_FALSE(*filter->attach());
  CHECK(why(filter->detach()) == "");
  CHECK(why(filter->detach()) ==
        "detach the filter blksnap from " + fake.device("vdb") +
            " (BLKFILTER_DETACH): No such file or directory (no filter is "
            "attached)");
}

TEST_CASE("filter: kernels without the hook") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(8192, 'x'));
  const auto filter = Filter::open(fake.device("vdb"), fake);
  for (const int errno_value : {ENOTTY, EINVAL}) {
    fake.fail_after(0, errno_value);
    const auto attached = filter->attach();
    CHECK(code(attached) == errno_value);
    CHECK(
        why(attached).ends_with("(the running kernel has no blkfilter: is "
                                "the module blkfilter loaded?)"));
  }
}

TEST_CASE("filter: kernels and devices that cannot be tracked") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(8192, 'x'));
  const auto filter = Filter::open(fake.device("vdb"), fake);
  fake.fail_after(0, EOPNOTSUPP);
  const auto attached = filter->attach();
  CHECK(code(attached) == EOPNOTSUPP);
  CHECK(
      why(attached).ends_with("(the device is zoned, or, if the kernel's log "
                              "says so, this kernel's changes do not come by "
                              "the hooks of blkfilter)"));
}

TEST_CASE("filter: only block devices") {
  const TempDir dir;
  put(dir / "file", "x");
  const auto filter = Filter::open(dir / "file");
  CHECK(why(filter) == (dir / "file") + " is not a block device");
  CHECK(code(filter) == ENOTBLK);
  CHECK(code(Filter::open(dir / "none")) == ENOENT);
}

TEST_CASE("filter: the map, in pieces") {
  FakeKernel fake;
  // Two pieces of the map and a little.
  constexpr std::size_t kBlocks = 2 * 1024 * 1024 + 3;
  fake.add_sparse_device("vdb", kBlocks * FakeKernel::kBlock);
  const auto filter = Filter::open(fake.device("vdb"), fake);
  REQUIRE(why(filter->attach()) == "");
  const kernel::CbtInfo info = *filter->cbt_info();
  CHECK(info.capacity == kBlocks * FakeKernel::kBlock);
  CHECK(info.block_size == FakeKernel::kBlock);
  CHECK(info.block_count == kBlocks);
  CHECK(info.changes_number == 0);
  CHECK_FALSE(info.generation.is_nil());

  std::vector<std::uint8_t> expected(kBlocks);
  std::vector<Sectors> ranges;
  for (const std::size_t block :
       {std::size_t{1}, kBlocks / 2 + 7, kBlocks - 1}) {
    expected[block] = 1;
    ranges.push_back({block * FakeKernel::kBlock / 512, 1});
  }
  REQUIRE(why(filter->mark_dirty(ranges)) == "");
  const auto map = filter->read_map();
  REQUIRE(why(map) == "");
  CHECK(map->info == info);
  CHECK((map->bytes == expected));

  int pieces = 0;
  SUBCASE("a take between two pieces: once more") {
    fake.after_map_read = [&] {
      if (++pieces == 2) fake.new_generation("vdb");
    };
    const auto again = filter->read_map();
    REQUIRE(why(again) == "");
    CHECK(again->info == *filter->cbt_info());
    CHECK_FALSE(again->info == info);
    CHECK(pieces == 6);
  }
  SUBCASE("it never stands still") {
    fake.after_map_read = [&] { fake.new_generation("vdb"); };
    CHECK(code(filter->read_map()) == EAGAIN);
  }
  SUBCASE("the device shrinks between two pieces") {
    fake.after_map_read = [&] {
      if (++pieces > 1) return;
      fake.add_sparse_device("vdb", FakeKernel::kBlock);
      CHECK(why(filter->attach()) == "");
    };
    CHECK(why(filter->read_map())
              .ends_with("(CBTMAP): No data available (the map has become "
                         "shorter)"));
  }
}

TEST_CASE("filter: what was discarded") {
  FakeKernel fake;
  const std::size_t blocks = 17;
  fake.add_device("vdb", std::string(blocks * FakeKernel::kBlock, 'x'));
  std::vector<kernel::Filter> filters;
  filters.push_back(*Filter::open(fake.device("vdb"), fake));
  REQUIRE(why(filters[0].attach()) == "");
  for (const std::size_t block : {std::size_t{3}, blocks - 1})
    fake.discard("vdb", block);
  const auto held = kernel::HeldSnapshot::take(*kernel::Control::open(fake),
                                               filters, "/tmp", 4096);
  REQUIRE(why(held) == "");
  // After the take: not in what was frozen.
  fake.discard("vdb", 4);

  const std::vector<std::uint8_t> expected{8, 0, 1};
  const auto map = filters[0].read_map();
  REQUIRE(why(map) == "");
  CHECK(map->discards == expected);

  SUBCASE("a module that does not tell") {
    fake.tells_discards = false;
    const auto other = filters[0].read_map();
    REQUIRE(why(other) == "");
    CHECK((other->bytes == map->bytes));
    CHECK(other->discards.empty());
  }
  SUBCASE("it cannot be read") {
    fake.fail_after(2, EIO);  // CBTINFO, CBTMAP
    CHECK(why(filters[0].read_map())
              .starts_with("read the discards of " + fake.device("vdb")));
  }
}

TEST_CASE("filter: instants of takes") {
  FakeKernel fake;
  std::vector<kernel::Filter> filters;
  for (const char* name : {"vdb", "vdc"}) {
    fake.add_device(name, std::string(8192, 'x'));
    filters.push_back(*Filter::open(fake.device(name), fake));
    REQUIRE(why(filters.back().attach()) == "");
  }
  const kernel::Filter& vdb = filters[0];
  const auto take = [&fake](std::span<const kernel::Filter> devices) {
    REQUIRE(why(kernel::HeldSnapshot::take(*kernel::Control::open(fake),
                                           devices, "/tmp", 4096)) == "");
  };
  CHECK(vdb.instants()->takes.empty());
  take({filters.data(), 1});
  take(filters);

  const auto told = vdb.instants();
  REQUIRE(why(told) == "");
  CHECK(told->generation == vdb.cbt_info()->generation);
  REQUIRE(told->takes.size() == 2);
  CHECK_FALSE(told->takes[0].id == told->takes[1].id);
  CHECK(told->takes[0].time < told->takes[1].time);
  // One snapshot, one instant.
  const auto other = filters[1].instants();
  REQUIRE(other->takes.size() == 1);
  CHECK(other->takes[0] == told->takes[1]);

  fake.new_generation("vdb");
  CHECK(vdb.instants()->takes.empty());
  fake.tells_instants = false;
  CHECK(why(vdb.instants()) ==
        "ask about the takes of " + fake.device("vdb") +
            " (CBTINSTANTS): Inappropriate ioctl for device (this module keeps "
            "no instants of takes)");
  CHECK(code(vdb.instants()) == ENOTTY);
}

TEST_CASE("filter: ranges marked by hand") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(4 * FakeKernel::kBlock, 'x'));
  const auto filter = Filter::open(fake.device("vdb"), fake);
  REQUIRE(why(filter->attach()) == "");
  const Sectors good[] = {{0, 1}, {23, 2}};
  CHECK(why(filter->mark_dirty(good)) == "");
  const auto map = filter->read_map();
  REQUIRE(why(map) == "");
  CHECK(map->bytes == std::vector<std::uint8_t>{1, 0, 1, 1});
  const Sectors bad[] = {{0, 0}};
  CHECK(why(filter->mark_dirty(bad)) ==
        "mark ranges of " + fake.device("vdb") +
            " as changed (CBTDIRTY): Invalid argument (a range is empty or not "
            "within the device)");
}

TEST_CASE("filter: what a device is in") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(8192, 'x'));
  const auto control = kernel::Control::open(fake);
  const auto filter = Filter::open(fake.device("vdb"), fake);
  REQUIRE(why(filter->attach()) == "");
  CHECK(code(filter->snapshot_info()) == ENOENT);
  CHECK(code(filter->snapshot_add({})) == ESRCH);

  const auto id = control->create("/tmp", 512);
  CHECK(why(filter->snapshot_add(*id)) == "");
  CHECK(code(filter->snapshot_add(*id)) == EALREADY);
  CHECK(filter->snapshot_info()->image.empty());
  REQUIRE(why(control->take(*id, kernel::Control::Images::kWritable)) == "");
  CHECK(filter->snapshot_info()->image.starts_with(fake.dev() + "blksnap-"));
  CHECK(filter->snapshot_info()->error_code == 0);
  fake.corrupt("vdb", ENOSPC);
  CHECK(filter->snapshot_info()->error_code == -ENOSPC);
  CHECK(code(filter->detach()) == EBUSY);
}
