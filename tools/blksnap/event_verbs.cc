// SPDX-License-Identifier: LGPL-2.1-or-later
// Verbs that wait for something to happen to a snapshot.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <variant>

#include "base/uuid.h"
#include "kernel/control.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

using kernel::Control;
using kernel::Event;
using kernel::Uuid;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

volatile std::sig_atomic_t interrupted = 0;

// A signal ends the wait, not the program: it prints what came of it.
void catch_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = 1; };
  for (int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

// Waits in slices, because a signal that comes just before the ioctl would not
// end it. The errors of Control::wait_event().
Result<Event> wait_until(const Control& control, const Uuid& id,
                         steady_clock::time_point deadline) {
  constexpr milliseconds kSlice(1000);
  for (;;) {
    if (interrupted) return fail(EINTR, "wait for an event");
    const auto left = std::max(
        milliseconds(0),
        std::chrono::ceil<milliseconds>(deadline - steady_clock::now()));
    auto event = control.wait_event(id, std::min(left, kSlice));
    if (!event && event.error().code == ENOTTY)
      return refuse(ENOTTY, "this version of the module blksnap has no events");
    if (event || event.error().code != ENOENT || left <= kSlice) return event;
  }
}

std::string name_of(const Event& event) {
  if (std::holds_alternative<kernel::Corrupted>(event.what)) return "corrupted";
  if (std::holds_alternative<kernel::NoSpace>(event.what)) return "no_space";
  return std::to_string(std::get<kernel::UnknownEvent>(event.what).code);
}

struct Values {
  std::string id;
  std::uint32_t timeout = 0;  // milliseconds
};

void add_id(CLI::App& options, Values& values) {
  options.add_option("-i,--id", values.id, "the snapshot")
      ->type_name("UUID")
      ->required();
}

Result<ExitStatus> wait_event(const Values& values) {
  const auto id = parse_uuid(values.id);
  if (!id) return id.error();
  const auto control = Control::open();
  if (!control) return control.error();
  catch_signals();
  const auto event = wait_until(
      *control, *id, steady_clock::now() + milliseconds(values.timeout));
  if (event) {
    std::printf("result=ok\ntime=%lld\nevent=%s\n",
                static_cast<long long>(event->time), name_of(*event).c_str());
    return kSuccess;
  }
  // These are answers, not failures.
  switch (event.error().code) {
    case ENOENT:
      std::puts("result=timeout");
      return kSuccess;
    case EINTR:
      std::puts("result=interrupted");
      return kSuccess;
    case ESRCH:
      std::puts("result=not found");
      return kSuccess;
    default:
      return event.error();
  }
}

Run define_waitevent(CLI::App& options) {
  auto values = std::make_shared<Values>();
  add_id(options, *values);
  options
      .add_option("-t,--timeout", values->timeout,
                  "how long to wait, in milliseconds")
      ->type_name("MS")
      ->required();
  return [values] { return wait_event(*values); };
}

void print_line(const Event& event) {
  std::printf("time=%lld event=%s", static_cast<long long>(event.time),
              name_of(event).c_str());
  if (const auto* corrupted = std::get_if<kernel::Corrupted>(&event.what))
    std::printf(" device=%u:%u error_code=%d", corrupted->major,
                corrupted->minor, corrupted->code);
  if (const auto* no_space = std::get_if<kernel::NoSpace>(&event.what))
    std::printf(" requested_bytes=%llu",
                static_cast<unsigned long long>(no_space->requested));
  std::putchar('\n');
}

Result<ExitStatus> watch(const Values& values) {
  const auto id = parse_uuid(values.id);
  if (!id) return id.error();
  const auto control = Control::open();
  if (!control) return control.error();
  catch_signals();
  // Whoever reads this through a pipe wants each line when it happens.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::puts("Start snapshot watcher.");
  for (;;) {
    const auto event =
        wait_until(*control, *id, steady_clock::time_point::max());
    if (event) {
      print_line(*event);
      continue;
    }
    // The snapshot was destroyed, or the user has seen enough.
    if (event.error().code != ESRCH && event.error().code != EINTR)
      return event.error();
    std::puts("Snapshot watcher finished");
    return kSuccess;
  }
}

Run define_watcher(CLI::App& options) {
  auto values = std::make_shared<Values>();
  add_id(options, *values);
  return [values] { return watch(*values); };
}

constexpr Verb kVerbs[] = {
    {"snapshot_waitevent", "Wait for one event of a snapshot",
     "  blksnap snapshot_waitevent --id=$UUID --timeout 60000",
     define_waitevent},
    {"snapshot_watcher", "Print the events of a snapshot until it is gone",
     "  blksnap snapshot_watcher --id=$UUID", define_watcher},
};

}  // namespace

std::span<const Verb> event_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
