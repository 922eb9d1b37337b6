// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/held_snapshot.h"

#include <cerrno>

#include "base/uuid.h"
#include "fake_kernel.h"
#include "kernel/devices.h"
#include "result.h"

using namespace blksnap;
using kernel::Filter;
using kernel::HeldSnapshot;

namespace {

std::vector<Filter> open_all(const FakeKernel& fake,
                             std::initializer_list<const char*> names) {
  std::vector<Filter> filters;
  for (const char* name : names) {
    filters.push_back(*Filter::open(fake.device(name), fake));
  }
  return filters;
}

Result<HeldSnapshot> take(const FakeKernel& fake,
                          const std::vector<Filter>& filters) {
  return HeldSnapshot::take(*kernel::Control::open(fake), filters, "/tmp",
                            4096);
}

void add_devices(FakeKernel& fake) {
  for (const char* name : {"vdb", "vdc"}) {
    fake.add_device(name, std::string(8192, 'x'));
  }
}

}  // namespace

TEST_CASE("held snapshot: all devices at once, and gone with its owner") {
  FakeKernel fake;
  add_devices(fake);
  const auto filters = open_all(fake, {"vdb", "vdc"});
  {
    auto held = take(fake, filters);
    REQUIRE(why(held) == "");
    const HeldSnapshot moved = std::move(*held);
    CHECK(fake.snapshots() == 1);
  }
  CHECK(fake.journal() == std::vector<std::string>{
                              "attach vdb", "attach vdc", "create 8", "add vdb",
                              "add vdc", "take read-only", "destroy"});
  CHECK(fake.attached("vdb"));
}

TEST_CASE("held snapshot: a module without read-only images") {
  FakeKernel fake;
  add_devices(fake);
  fake.of_the_proposal = true;
  const auto held = take(fake, open_all(fake, {"vdb"}));
  REQUIRE(why(held) == "");
  CHECK(fake.journal().back() == "take");
}

TEST_CASE("held snapshot: may be left behind on purpose") {
  FakeKernel fake;
  add_devices(fake);
  take(fake, open_all(fake, {"vdb"}))->release();
  CHECK(fake.snapshots() == 1);
}

TEST_CASE("held snapshot: whatever fails, nothing is left") {
  int calls = 0;
  {
    FakeKernel fake;
    add_devices(fake);
    REQUIRE(why(take(fake, open_all(fake, {"vdb", "vdc"}))) == "");
    calls = fake.calls() - 1;  // without DESTROY
  }
  REQUIRE(calls == 6);
  for (int call = 0; call < calls; ++call) {
    CAPTURE(call);
    FakeKernel fake;
    add_devices(fake);
    const auto filters = open_all(fake, {"vdb", "vdc"});
    fake.fail_after(call, ENOMEM);
    CHECK(code(take(fake, filters)) == ENOMEM);
    CHECK(fake.snapshots() == 0);
  }
}

TEST_CASE("held snapshot: what cannot be destroyed is left, not fatal") {
  FakeKernel fake;
  add_devices(fake);
  {
    const auto held = take(fake, open_all(fake, {"vdb"}));
    REQUIRE(why(held) == "");
    fake.fail_after(0, ENOMEM);
  }
  CHECK(fake.snapshots() == 1);
}

TEST_CASE("find_devices: those of one snapshot, by the names people know") {
  FakeKernel fake;
  add_devices(fake);
  fake.add_device("mapper/vg-root", std::string(8192, 'x'), "dm-0");
  fake.add_device("cciss/c0d0", std::string(8192, 'x'), "cciss!c0d0");
  fake.add_device("loop0", "");
  const auto control = kernel::Control::open(fake);
  const auto first =
      take(fake, open_all(fake, {"vdb", "mapper/vg-root", "cciss/c0d0"}));
  REQUIRE(why(first) == "");
  const auto second = take(fake, open_all(fake, {"vdc"}));
  REQUIRE(why(second) == "");

  const auto journal = fake.journal();
  const auto found = kernel::find_devices(*control, first->id(), fake);
  REQUIRE(why(found) == "");
  std::vector<std::string> names;
  for (const auto& filter : *found) names.push_back(filter.device());
  CHECK(names == std::vector<std::string>{fake.device("cciss/c0d0"),
                                          fake.device("mapper/vg-root"),
                                          fake.device("vdb")});
  CHECK(fake.journal() == journal);  // looking changes nothing
}

TEST_CASE("tracked_devices: those with a filter, in a snapshot or not") {
  FakeKernel fake;
  add_devices(fake);
  const auto none = kernel::tracked_devices(fake);
  REQUIRE(why(none) == "");
  CHECK(none->empty());

  const auto held = take(fake, open_all(fake, {"vdb"}));
  REQUIRE(why(held) == "");
  REQUIRE(why(open_all(fake, {"vdc"})[0].attach()) == "");
  const auto journal = fake.journal();
  const auto tracked = kernel::tracked_devices(fake);
  REQUIRE(why(tracked) == "");
  REQUIRE(tracked->size() == 2);
  CHECK((*tracked)[0].device() == fake.device("vdb"));
  CHECK((*tracked)[1].device() == fake.device("vdc"));
  CHECK(*kernel::is_in((*tracked)[0], held->id()));
  CHECK_FALSE(*kernel::is_in((*tracked)[1], held->id()));
  CHECK(fake.journal() == journal);
}

TEST_CASE("find_devices: a snapshot that is not there, or not taken") {
  FakeKernel fake;
  add_devices(fake);
  const auto control = kernel::Control::open(fake);
  CHECK(why(kernel::find_devices(*control, {}, fake)) ==
        "there is no snapshot 00000000-0000-0000-0000-000000000000");
  const auto filters = open_all(fake, {"vdb"});
  REQUIRE(why(filters[0].attach()) == "");
  const auto id = control->create("/tmp", 4096);
  REQUIRE(why(filters[0].snapshot_add(*id)) == "");
  const auto journal = fake.journal();
  CHECK(why(kernel::find_devices(*control, *id, fake)) ==
        "snapshot " + to_string(*id) + " has no images to serve: is it taken?");
  CHECK(fake.journal() == journal);
}
