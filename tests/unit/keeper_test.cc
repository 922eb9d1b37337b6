// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/uuid.h"
#include "fake_kernel.h"
#include "kernel/held_snapshot.h"
#include "result.h"

using namespace blksnap;
using kernel::Control;
using kernel::Filter;
using kernel::HeldSnapshot;
using kernel::Keeper;

namespace {

// A kernel that leaves a trace of each destroyed snapshot in a file, which the
// test sees from its own side of a fork, and that refuses all to this side
// once it has "given up its privileges".
class GuardedKernel : public FakeKernel {
 public:
  int ioctl(int fd, unsigned long command, void* argument) const override {
    if (::getpid() == unprivileged_) return EPERM;
    const std::size_t before = snapshots();
    const int code = FakeKernel::ioctl(fd, command, argument);
    if (snapshots() < before) put(trace_ / "destroyed", get_trace() + "x");
    return code;
  }
  void give_up_privileges() { unprivileged_ = ::getpid(); }
  std::string get_trace() const { return get(trace_ / "destroyed"); }

 private:
  TempDir trace_;
  pid_t unprivileged_ = -1;
};

struct World {
  GuardedKernel kernel;
  std::optional<Keeper> keeper;
  std::optional<Filter> filter;
  std::optional<HeldSnapshot> held;

  World() {
    kernel.add_device("vdb", std::string(8192, 'x'));
    kernel.add_device("vdc", std::string(8192, 'x'));
    keeper.emplace(kernel);
    filter.emplace(*Filter::open(kernel.device("vdb"), *keeper));
    auto taken = HeldSnapshot::take(*Control::open(*keeper), {&*filter, 1},
                                    "/tmp", 4096);
    REQUIRE(why(taken) == "");
    held.emplace(std::move(*taken));
  }
  void split() {
    REQUIRE(why(keeper->stay_behind()) == "");
    kernel.give_up_privileges();
  }
};

}  // namespace

TEST_CASE("keeper: what a server asks until its end is answered") {
  World world;
  const auto before = world.filter->cbt_info();
  REQUIRE(why(before) == "");
  world.split();

  const auto info = world.filter->snapshot_info();
  REQUIRE(why(info) == "");
  CHECK(info->image != "");
  const auto after = world.filter->cbt_info();
  REQUIRE(why(after) == "");
  CHECK(*after == *before);

  world.held.reset();
  CHECK(world.kernel.get_trace() == "x");
  CHECK(world.filter->snapshot_info().error().code == ENOENT);
  world.keeper.reset();
  CHECK(world.kernel.get_trace() == "x");
}

TEST_CASE("keeper: nothing else is") {
  World world;
  auto other = Control::open(*world.keeper)->create("/tmp", 4096);
  REQUIRE(why(other) == "");
  const auto control = Control::open(*world.keeper);
  world.split();

  CHECK(control->create("/tmp", 4096).error().code == EPERM);
  CHECK(
      control->take(*other, kernel::Control::Images::kWritable).error().code ==
      EPERM);
  CHECK(control->collect().error().code == EPERM);
  CHECK(control->version().error().code == EPERM);
  CHECK(control->destroy(kernel::Uuid{}).error().code == EPERM);
  CHECK(world.filter->attach().error().code == EPERM);
  CHECK(world.filter->detach().error().code == EPERM);
  CHECK(world.filter->read_map().error().code == EPERM);
  CHECK(world.filter->mark_dirty({}).error().code == EPERM);
  CHECK(world.filter->snapshot_add(*other).error().code == EPERM);
  // A device that was not in use before.
  const auto late = Filter::open(world.kernel.device("vdc"), *world.keeper);
  CHECK(late->snapshot_info().error().code == EPERM);
  CHECK(world.kernel.get_trace() == "");
}

TEST_CASE("keeper: releases the snapshot of a server that dies") {
  World world;
  const pid_t server = ::fork();
  REQUIRE(server >= 0);
  if (server == 0) {
    world.split();
    // Nothing is destroyed in order here, and the channel closes.
    ::_exit(0);
  }
  int status = -1;
  REQUIRE(::waitpid(server, &status, 0) == server);
  REQUIRE(status == 0);
  // The keeper is nobody's child here; its work is all there is to see of it.
  for (int i = 0; i < 3000 && world.kernel.get_trace().empty(); ++i)
    ::usleep(10'000);
  CHECK(world.kernel.get_trace() == "x");
  world.held->release();
}

TEST_CASE("keeper: holds no descriptor that it does not need") {
  World world;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  world.split();
  // The keeper answers, so it has closed what it closes.
  REQUIRE(why(world.filter->cbt_info()) == "");
  writing.reset();
  char byte;
  CHECK(::read(reading.get(), &byte, 1) == 0);
}

TEST_CASE("keeper: is not made where the kernel was not asked for anything") {
  GuardedKernel kernel;
  Keeper keeper(kernel);
  REQUIRE(why(keeper.stay_behind()) == "");
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
  CHECK(errno == ECHILD);
}

TEST_CASE("keeper: an end of its own is an error, not an answer") {
  World world;
  world.split();
  // The only child that there is. SIGKILL, as nothing else ends it.
  siginfo_t info{};
  REQUIRE(::kill(world.keeper->child(), SIGTERM) == 0);
  REQUIRE(why(world.filter->snapshot_info()) == "");
  REQUIRE(::kill(world.keeper->child(), SIGKILL) == 0);
  REQUIRE(::waitid(P_PID, static_cast<id_t>(world.keeper->child()), &info,
                   WEXITED | WNOWAIT) == 0);
  CHECK(world.filter->snapshot_info().error().code == EPIPE);
  world.held->release();
}
