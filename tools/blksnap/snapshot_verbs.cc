// SPDX-License-Identifier: LGPL-2.1-or-later
// Verbs about snapshots. A snapshot that is made here stays until it is
// destroyed: nothing of this process owns it.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/settings.h"
#include "base/uuid.h"
#include "kernel/control.h"
#include "kernel/filter.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

using kernel::Control;
using kernel::Filter;
using kernel::Uuid;

struct Values {
  std::string id;
  std::string device;
  std::string file;
  std::string limit;
  std::string field;
  bool read_only = false;
  std::vector<std::string> devices;
};

void add_id(cli::App options, Values& values) {
  options.add_option("-i,--id", values.id, "the snapshot")
      .type_name("UUID")
      .required();
}

cli::Option add_device(cli::App options, Values& values) {
  return options
      .add_option("-d,--device", values.device, "the block device, /dev/vdb")
      .type_name("DEVICE")
      .required();
}

// The filter is attached where it is missing.
Result<void> add_to_snapshot(const Uuid& id, const std::string& device) {
  const auto filter = Filter::open(device);
  if (!filter) return filter.error();
  if (auto attached = filter->attach(); !attached) return attached.error();
  return filter->snapshot_add(id);
}

Result<ExitStatus> create(const Output& output, const Values& values) {
  const auto limit = parse_size(values.limit);
  if (!limit) return limit.error();
  const auto control = Control::open();
  if (!control) return control.error();
  const auto id = control->create(values.file, *limit);
  if (!id) return id.error();
  for (const std::string& device : values.devices) {
    if (auto added = add_to_snapshot(*id, device); !added) {
      // Whoever did not get the UUID could never destroy it.
      if (auto destroyed = control->destroy(*id); !destroyed)
        return context(added.error().message, destroyed.error());
      return added.error();
    }
  }
  output.say(to_string(*id) + "\n", {{"id", to_string(*id)}});
  return kSuccess;
}

Run define_create(cli::App options) {
  auto values = std::make_shared<Values>();
  options
      .add_option("-f,--file", values->file,
                  "difference storage: a file, a directory (an unnamed file "
                  "is made there) or a block device")
      .type_name("PATH")
      .required();
  options
      .add_option("-l,--limit", values->limit,
                  "how large it may grow: bytes, or with K, M, G or T")
      .type_name("SIZE")
      .required();
  options
      .add_option("-d,--device", values->devices,
                  "a device to add to it; may be repeated")
      .type_name("DEVICE");
  return [values](const Output& output) { return create(output, *values); };
}

Run define_add(cli::App options) {
  auto values = std::make_shared<Values>();
  add_id(options, *values);
  add_device(options, *values);
  return [values](const Output& output) -> Result<ExitStatus> {
    const auto id = parse_uuid(values->id);
    if (!id) return id.error();
    if (auto added = add_to_snapshot(*id, values->device); !added)
      return added.error();
    output.say("", {{"id", values->id}, {"device", values->device}});
    return kSuccess;
  };
}

using WholeSnapshot =
    std::function<Result<void>(const Control& control, const Uuid& id)>;

Result<ExitStatus> operate(const Output& output, const Values& values,
                           const WholeSnapshot& operation) {
  const auto id = parse_uuid(values.id);
  if (!id) return id.error();
  const auto control = Control::open();
  if (!control) return control.error();
  if (auto done = operation(*control, *id); !done) return done.error();
  output.say("", {{"id", values.id}});
  return kSuccess;
}

Run define_take(cli::App options) {
  auto values = std::make_shared<Values>();
  add_id(options, *values);
  options.add_flag("-r,--read-only", values->read_only,
                   "images that can only be read, and that nobody can mount "
                   "or take for a part of a volume group or an array");
  return [values](const Output& output) {
    return operate(output, *values,
                   [&](const Control& control, const Uuid& id) {
                     return control.take(id, values->read_only
                                                 ? Control::Images::kReadOnly
                                                 : Control::Images::kWritable);
                   });
  };
}

Run define_destroy(cli::App options) {
  auto values = std::make_shared<Values>();
  add_id(options, *values);
  return [values](const Output& output) {
    return operate(output, *values, &Control::destroy);
  };
}

Run define_info(cli::App options) {
  auto values = std::make_shared<Values>();
  add_device(options, *values);
  options
      .add_option("-f,--field", values->field,
                  "print the value of this one alone: image, error_code or "
                  "quiesced")
      .check_member({"image", "error_code", "quiesced"});
  return [values](const Output& output) -> Result<ExitStatus> {
    const auto filter = Filter::open(values->device);
    if (!filter) return filter.error();
    const auto info = filter->snapshot_info();
    if (!info) return info.error();
    const auto how = filter->quiesced();
    const std::string quiesced(how ? word_for(*how) : "");
    JsonValue fields = {{"error_code", info->error_code},
                        {"image", info->image}};
    if (how) fields.set("quiesced", quiesced);
    if (values->field == "error_code")
      output.say(std::to_string(info->error_code) + "\n",
                 {{"error_code", info->error_code}});
    else if (values->field == "image")
      output.say(info->image + "\n", {{"image", info->image}});
    else if (values->field == "quiesced")
      output.say(quiesced + "\n", {{"quiesced", quiesced}});
    else
      output.say_fields(fields);
    return kSuccess;
  };
}

Result<ExitStatus> collect(const Output& output) {
  const auto control = Control::open();
  if (!control) return control.error();
  const auto ids = control->collect();
  if (!ids) return ids.error();
  std::string text;
  JsonValue found = JsonValue::array();
  for (const Uuid& id : *ids) {
    text += to_string(id) + "\n";
    found.push_back(to_string(id));
  }
  output.say(text, {{"snapshots", std::move(found)}});
  return kSuccess;
}

constexpr Verb kVerbs[] = {
    {"snapshot_create", "Make a snapshot, to be taken later; print its UUID",
     "  blksnap snapshot_create --file /var/tmp --limit 2G --device /dev/vdb\n"
     "  blksnap snapshot_create --file /dev/vdc --limit 10G \\\n"
     "      --device /dev/vda --device /dev/vdb",
     define_create},
    {"snapshot_add", "Add a device to a snapshot that is not taken yet",
     "  blksnap snapshot_add --id=$UUID --device /dev/vdb", define_add},
    {"snapshot_take", "Take a snapshot: of all its devices at one instant",
     "  blksnap snapshot_take --id=$UUID\n"
     "  blksnap snapshot_take --id=$UUID --read-only",
     define_take},
    {"snapshot_destroy", "Release a snapshot, with its images",
     "  blksnap snapshot_destroy --id=$UUID", define_destroy},
    {"snapshot_info", "Print the image of a device in its snapshot",
     "  blksnap snapshot_info --device /dev/vdb\n"
     "  blksnap snapshot_info --device /dev/vdb --field image",
     define_info},
    {"snapshot_collect", "Print the UUIDs of all snapshots",
     "  blksnap snapshot_collect", [](cli::App) -> Run { return collect; }},
};

}  // namespace

std::span<const Verb> snapshot_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
