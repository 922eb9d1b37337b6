// SPDX-License-Identifier: LGPL-2.1-or-later
// Verbs that wait for something to happen to a snapshot.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <variant>

#include "base/uuid.h"
#include "interrupt.h"
#include "kernel/control.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

using kernel::Control;
using kernel::Event;
using kernel::Uuid;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Waits in slices, because a signal that comes just before the ioctl would not
// end it. The errors of Control::wait_event().
Result<Event> wait_until(const Control& control, const Uuid& id,
                         steady_clock::time_point deadline) {
  constexpr milliseconds kSlice(1000);
  for (;;) {
    if (interrupted()) return fail(EINTR, "wait for an event");
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

// What there is to know about it besides its time.
JsonValue fields_of(const Event& event) {
  JsonValue fields = {{"event", name_of(event)}};
  if (const auto* corrupted = std::get_if<kernel::Corrupted>(&event.what)) {
    fields.set("device", std::to_string(corrupted->major) + ":" +
                             std::to_string(corrupted->minor));
    fields.set("error_code", corrupted->code);
  }
  if (const auto* no_space = std::get_if<kernel::NoSpace>(&event.what))
    fields.set("requested_bytes", no_space->requested);
  return fields;
}

struct Values {
  std::string id;
  std::uint32_t timeout = 0;  // milliseconds
};

void add_id(cli::App options, Values& values) {
  options.add_option("-i,--id", values.id, "the snapshot")
      .type_name("UUID")
      .required();
}

Result<ExitStatus> wait_event(const Output& output, const Values& values) {
  const auto id = parse_uuid(values.id);
  if (!id) return id.error();
  const auto control = Control::open();
  if (!control) return control.error();
  catch_interrupts();
  const auto event = wait_until(
      *control, *id, steady_clock::now() + milliseconds(values.timeout));
  if (event) {
    // The text is the original's, which tells no more.
    JsonValue object = {{"result", "ok"}, {"time", event->time}};
    object.update(fields_of(*event));
    output.say("result=ok\ntime=" + std::to_string(event->time) +
                   "\nevent=" + name_of(*event) + "\n",
               object);
    return kSuccess;
  }
  // These are answers, not failures.
  switch (event.error().code) {
    case ENOENT:
      output.say_fields({{"result", "timeout"}});
      return kSuccess;
    case EINTR:
      output.say_fields({{"result", "interrupted"}});
      return kSuccess;
    case ESRCH:
      output.say_fields({{"result", "not found"}});
      return kSuccess;
    default:
      return event.error();
  }
}

Run define_waitevent(cli::App options) {
  auto values = std::make_shared<Values>();
  add_id(options, *values);
  options
      .add_option("-t,--timeout", values->timeout,
                  "how long to wait, in milliseconds")
      .type_name("MS")
      .required();
  return [values](const Output& output) { return wait_event(output, *values); };
}

Result<ExitStatus> watch(const Output& output, const Values& values) {
  const auto id = parse_uuid(values.id);
  if (!id) return id.error();
  const auto control = Control::open();
  if (!control) return control.error();
  catch_interrupts();
  // Whoever reads this through a pipe wants each line when it happens.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  output.say("Start snapshot watcher.\n", {{"watching", values.id}});
  for (;;) {
    const auto event =
        wait_until(*control, *id, steady_clock::time_point::max());
    if (event) {
      JsonValue object = {{"time", event->time}};
      object.update(fields_of(*event));
      output.say_fields(object, ' ');
      continue;
    }
    // The snapshot was destroyed, or the user has seen enough.
    if (event.error().code != ESRCH && event.error().code != EINTR)
      return event.error();
    output.say("Snapshot watcher finished\n", {{"finished", values.id}});
    return kSuccess;
  }
}

Run define_watcher(cli::App options) {
  auto values = std::make_shared<Values>();
  add_id(options, *values);
  return [values](const Output& output) { return watch(output, *values); };
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
