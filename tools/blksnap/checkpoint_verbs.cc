// SPDX-License-Identifier: LGPL-2.1-or-later
// Names of checkpoints.

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/format.h"
#include "base/printable.h"
#include "base/utc.h"
#include "checkpoint/store.h"
#include "export/change_map.h"
#include "kernel/filter.h"
#include "standing.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

using checkpoints::Named;
using Names = std::vector<Named>;

struct Values {
  std::string name;
  std::string device;
  std::string checkpoint;
  std::string file = checkpoints::kDefaultFile;
  bool force = false;
  bool stale = false;
};

cli::Option add_device(cli::App options, Values& values, const char* text) {
  return options.add_option("-d,--device", values.device, text)
      .type_name("DEVICE");
}

void add_file(cli::App options, Values& values) {
  options
      .add_option("-f,--file", values.file,
                  "the file that keeps the names, if not the usual one")
      .type_name("FILE");
}

// Where a path leads, by whatever links. As it stands if it leads nowhere: a
// device may be gone, and its names still there.
std::string resolved(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(
      ::realpath(path.c_str(), nullptr), &std::free);
  return real ? real.get() : path;
}

JsonValue json_of(const Named& named) {
  return {{"name", named.name},
          {"device", named.device},
          {"checkpoint", named.at.to_string()},
          {"added", to_rfc3339(named.added)}};
}

// ---- add ----

// The checkpoint that is to get a name: the one that is asked for, if the
// kernel says that there is one, or the last take.
Result<cbt::Checkpoint> checkpoint_to_name(const Values& values) {
  std::optional<cbt::Checkpoint> wanted;
  if (!values.checkpoint.empty()) {
    const auto parsed = cbt::Checkpoint::parse(values.checkpoint);
    if (!parsed) return parsed.error();
    wanted = *parsed;
  }
  const auto filter = kernel::Filter::open(values.device);
  if (!filter) return filter.error();
  const auto history = exports::read_history(*filter);
  if (!history) return history.error();
  if (history->number == 0)
    return refuse(ENODATA, "no snapshot of " + values.device +
                               " was taken in this generation yet");
  if (!wanted) return history->last();
  const auto found = history->find(*wanted);
  if (!found)
    return refuse(
        EINVAL, history->why_not(*wanted, wanted->to_string(), values.device));
  if (found->number == 0)
    return refuse(EINVAL, wanted->to_string() +
                              " is when tracking began: no snapshot shows that "
                              "instant");
  return *found;
}

Result<void> put(Names& names, const Named& added, bool force) {
  const auto collides = [&](const Named& other) {
    return collide(other, added);
  };
  const auto found = std::find_if(names.begin(), names.end(), collides);
  if (found != names.end() && found->at == added.at &&
      found->device == added.device)
    return {};  // as it is, with the time at which it was given
  if (found != names.end() && !force)
    return refuse(EEXIST, "'" + added.name + "' is the name of " +
                              found->at.to_string() + " of " + found->device +
                              " already; --force moves it");
  names.erase(std::remove_if(names.begin(), names.end(), collides),
              names.end());
  names.push_back(added);
  return {};
}

Result<ExitStatus> add(const Output& output, const Values& values) {
  if (auto good = checkpoints::check_name(values.name); !good)
    return good.error();
  const auto at = checkpoint_to_name(values);
  if (!at) return at.error();
  const Named added{values.name, resolved(values.device), *at,
                    std::time(nullptr)};
  const auto changed = checkpoints::change_names(
      values.file,
      [&](Names& names) { return put(names, added, values.force); });
  if (!changed) return changed.error();
  output.say_fields({{"name", added.name},
                     {"device", added.device},
                     {"checkpoint", added.at.to_string()}});
  return kSuccess;
}

Run define_add(cli::App options) {
  auto values = std::make_shared<Values>();
  options.add_option("NAME", values->name, "letters, digits, - _ and .")
      .required();
  add_device(options, *values, "the block device, /dev/vdb").required();
  options
      .add_option("-c,--checkpoint", values->checkpoint,
                  "what to name, as pull prints it [the last snapshot that was "
                  "taken of the device]")
      .type_name("GENERATION.N.INSTANT");
  options.add_flag("--force", values->force,
                   "take the name from another checkpoint of the device");
  add_file(options, *values);
  return [values](const Output& output) { return add(output, *values); };
}

// ---- list ----

std::string text_of(std::optional<bool> stands) {
  if (!stands) return "unknown";
  return *stands ? "yes" : "no";
}

JsonValue json_of(std::optional<bool> stands) {
  return stands ? JsonValue(*stands) : JsonValue();
}

Result<ExitStatus> list(const Output& output, const Values& values) {
  if (auto there = checkpoints::check_present(values.file); !there)
    return there.error();
  auto names = checkpoints::read_names(values.file);
  if (!names) return names.error();
  if (!values.device.empty()) {
    const std::string device = resolved(values.device);
    names->erase(std::remove_if(names->begin(), names->end(),
                                [&](const Named& named) {
                                  return named.device != device;
                                }),
                 names->end());
  }
  const auto histories = Histories::look(*names);
  std::size_t width = 4, device_width = 6;
  for (const Named& named : *names) {
    width = std::max(width, named.name.size());
    device_width = std::max(device_width, named.device.size());
  }
  const auto row = [&](auto... columns) {
    return formatted("{:{}}  {:{}}  {:57}  {:20}  {}\n", columns...);
  };
  std::string text = row("NAME", width, "DEVICE", device_width, "CHECKPOINT",
                         "ADDED", "STANDS");
  JsonValue all = JsonValue::array();
  for (const Named& named : *names) {
    const auto stands = histories ? histories->stands(named.at) : std::nullopt;
    text += row(named.name, width, printable(named.device), device_width,
                named.at.to_string(), to_rfc3339(named.added), text_of(stands));
    JsonValue object = json_of(named);
    object.set("stands", json_of(stands));
    all.push_back(std::move(object));
  }
  output.say(names->empty() ? "No checkpoint has a name.\n" : text,
             {{"checkpoints", std::move(all)}});
  return kSuccess;
}

Run define_list(cli::App options) {
  auto values = std::make_shared<Values>();
  add_device(options, *values, "only the names of this device");
  add_file(options, *values);
  return [values](const Output& output) { return list(output, *values); };
}

// ---- remove ----

// Takes what `condition` picks out of `names`.
template <class Condition>
Names take_out(Names& names, Condition condition) {
  const auto kept = std::stable_partition(
      names.begin(), names.end(),
      [&](const Named& named) { return !condition(named); });
  Names taken(std::make_move_iterator(kept),
              std::make_move_iterator(names.end()));
  names.erase(kept, names.end());
  return taken;
}

// Those that are known not to stand, of one device or of all.
Result<Names> take_stale(Names& names, const std::string& device) {
  const auto histories = Histories::look(names);
  if (!histories)
    return context("which names still stand cannot be told", histories.error());
  return take_out(names, [&](const Named& named) {
    return (device.empty() || named.device == device) &&
           histories->stands(named.at) == std::optional(false);
  });
}

Result<Names> take_named(Names& names, const std::string& name,
                         const std::string& device) {
  Names taken = take_out(names, [&](const Named& named) {
    return named.name == name && named.device == device;
  });
  if (taken.empty())
    return refuse(
        ENOENT, "no checkpoint of " + device + " has the name '" + name + "'");
  return taken;
}

Result<ExitStatus> remove(const Output& output, const Values& values) {
  if (values.name.empty() && !values.stale)
    return refuse(EINVAL, "either NAME and --device or --stale is needed");
  if (!values.name.empty() && values.device.empty())
    return refuse(EINVAL, "--device is required: which one's '" + values.name +
                              "' is it?");
  if (auto there = checkpoints::check_present(values.file); !there)
    return there.error();
  const std::string device =
      values.device.empty() ? "" : resolved(values.device);
  Names removed;
  const auto changed =
      checkpoints::change_names(values.file, [&](Names& names) -> Result<void> {
        auto taken = values.stale ? take_stale(names, device)
                                  : take_named(names, values.name, device);
        if (!taken) return taken.error();
        removed = std::move(*taken);
        return {};
      });
  if (!changed) return changed.error();
  for (const Named& named : removed)
    output.say_fields({{"name", named.name},
                       {"device", named.device},
                       {"checkpoint", named.at.to_string()}},
                      ' ');
  return kSuccess;
}

Run define_remove(cli::App options) {
  auto values = std::make_shared<Values>();
  cli::Option name =
      options.add_option("NAME", values->name, "the name to be forgotten")
          .type_name("CHECKPOINT");
  add_device(options, *values, "the block device that it is of");
  options
      .add_flag("--stale", values->stale,
                "all names that are known not to stand any more, of one device "
                "or of all")
      .excludes(name);
  add_file(options, *values);
  return [values](const Output& output) { return remove(output, *values); };
}

constexpr Verb kNameVerbs[] = {
    {"add", "Give a name to a checkpoint",
     "  blksnap checkpoint add monday --device /dev/vdb\n"
     "  blksnap checkpoint add tape-12 --device /dev/vdb \\\n"
     "      --checkpoint "
     "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.7.04f2a61be390d85c\n"
     "  blksnap checkpoint add latest --device /dev/vdb --force",
     define_add},
    {"list", "Print the names, and whether changes since then can be told",
     "  blksnap checkpoint list\n"
     "  blksnap checkpoint list --device /dev/vdb\n"
     "  blksnap checkpoint list --json | jq -r '.checkpoints[].name'",
     define_list},
    {"remove", "Forget names; what they name stays",
     "  blksnap checkpoint remove monday --device /dev/vdb\n"
     "  blksnap checkpoint remove --stale",
     define_remove},
};

constexpr Verb kVerbs[] = {
    {"checkpoint", "Give names to checkpoints, which servers offer them by",
     "  blksnap checkpoint add monday --device /dev/vdb\n"
     "  blksnap checkpoint list\n"
     "  blksnap checkpoint remove --stale",
     nullptr, [] { return std::span<const Verb>(kNameVerbs); }},
};

}  // namespace

std::span<const Verb> checkpoint_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
