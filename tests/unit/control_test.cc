// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/control.h"

#include <cerrno>

#include "fake_kernel.h"
#include "kernel/filter.h"
#include "result.h"

using namespace blksnap;
using namespace std::chrono_literals;

TEST_CASE("control: a module that is not there") {
  FakeKernel fake;
  std::filesystem::remove(fake.dev() + "blksnap-control");
  const auto control = kernel::Control::open(fake);
  CHECK(why(control) ==
        "open " + fake.dev() +
            "blksnap-control: No such file or directory (is the module blksnap "
            "loaded?)");
  CHECK(code(control) == ENOENT);
}

TEST_CASE("control: snapshots from creation to destruction") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(8192, 'x'));
  const auto control = kernel::Control::open(fake);
  REQUIRE(why(control) == "");
  const auto version = control->version();
  REQUIRE(why(version) == "");
  CHECK(version->major == 2);
  CHECK(version->build == 7);
  CHECK(control->collect()->empty());

  // The limit is rounded down: it is a limit.
  const auto id = control->create("/tmp", 1535);
  REQUIRE(why(id) == "");
  CHECK(fake.journal().back() == "create 2");
  CHECK(why(control->take(*id, kernel::Control::Images::kWritable))
            .ends_with("(SNAPSHOT_TAKE): No such device (it has no devices)"));
  const auto filter = kernel::Filter::open(fake.device("vdb"), fake);
  REQUIRE(why(filter->attach()) == "");
  REQUIRE(why(filter->snapshot_add(*id)) == "");
  CHECK(why(control->take(*id, kernel::Control::Images::kWritable)) == "");
  CHECK(code(control->take(*id, kernel::Control::Images::kWritable)) ==
        EALREADY);
  const auto second = control->create("/tmp", 512);
  REQUIRE(why(second) == "");
  CHECK(*control->collect() == std::vector<kernel::Uuid>{*id, *second});
  CHECK(why(control->destroy(*id)) == "");
  CHECK(code(control->destroy(*id)) == ENODEV);
}

TEST_CASE("control: sentences name the call, the thing and the cause") {
  FakeKernel fake;
  const auto control = kernel::Control::open(fake);
  CHECK(why(control->create("/none", 512)) ==
        "create a snapshot with difference storage /none (SNAPSHOT_CREATE): No "
        "such file or directory");
  CHECK(why(control->create("/tmp", 100))
            .ends_with("(the storage must be a file, a directory or a block "
                       "device, and have a "
                       "limit of a sector at least)"));
  fake.fail_after(0, EPERM);
  CHECK(why(control->version()) ==
        "ask blksnap for its version (VERSION): Operation not permitted (this "
        "needs root: CAP_SYS_ADMIN)");
  fake.fail_after(0, EIO);
  CHECK(why(control->collect()) ==
        "list the snapshots (SNAPSHOT_COLLECT): Input/output error");
}

TEST_CASE("control: events") {
  FakeKernel fake;
  const auto control = kernel::Control::open(fake);
  CHECK(code(control->wait_event({}, 0ms)) == ESRCH);
  const auto id = control->create("/tmp", 512);
  CHECK(code(control->wait_event(*id, 10ms)) == ENOENT);
  fake.event_code = EINTR;
  CHECK(code(control->wait_event(*id, 10ms)) == EINTR);

  fake.event_code = 0;
  fake.next_event = {77, kernel::Corrupted{253, 16, ENOSPC}};
  auto event = control->wait_event(*id, 10ms);
  REQUIRE(why(event) == "");
  CHECK(event->time == 77);
  const auto& dead = std::get<kernel::Corrupted>(event->what);
  CHECK(dead.major == 253);
  CHECK(dead.minor == 16);
  CHECK(dead.code == ENOSPC);

  fake.next_event = {78, kernel::NoSpace{1 << 20}};
  event = control->wait_event(*id, 10ms);
  REQUIRE(why(event) == "");
  CHECK(std::get<kernel::NoSpace>(event->what).requested == 1 << 20);

  fake.next_event = {79, kernel::UnknownEvent{9}};
  event = control->wait_event(*id, 10ms);
  REQUIRE(why(event) == "");
  CHECK(std::get<kernel::UnknownEvent>(event->what).code == 9);
}

TEST_CASE("control: statistics of a snapshot") {
  FakeKernel fake;
  const auto control = kernel::Control::open(fake);
  CHECK(why(control->statistics({})).ends_with("(there is no such snapshot)"));
  const auto id = control->create("/tmp", 4096);
  fake.statistics = {.storage_limit = 1,
                     .storage_size = 2,
                     .storage_used = 3,
                     .chunks = 4,
                     .copies = 5,
                     .copies_queued = 6,
                     .waits = 7};
  const auto told = control->statistics(*id);
  REQUIRE(why(told) == "");
  CHECK(told->storage_limit == 1);
  CHECK(told->storage_size == 2);
  CHECK(told->storage_used == 3);
  CHECK(told->chunks == 4);
  CHECK(told->copies == 5);
  CHECK(told->copies_queued == 6);
  CHECK(told->waits == 7);
  fake.fail_after(0, ENOTTY);
  CHECK(code(control->statistics(*id)) == ENOTTY);
}
