// SPDX-License-Identifier: LGPL-2.1-or-later
// Verbs about one device and what changed on it.
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/uuid.h"
#include "cbt/map_file.h"
#include "export/change_map.h"
#include "kernel/file_place.h"
#include "kernel/filter.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

using kernel::Filter;
using kernel::FrozenMap;
using kernel::Sectors;

struct Values {
  std::string device;
  std::string file;
  std::string format = "raw";
  std::vector<std::string> ranges;
};

cli::Option add_device(cli::App options, Values& values) {
  return options
      .add_option("-d,--device", values.device, "the block device, /dev/vdb")
      .type_name("DEVICE");
}

Run define_attach(cli::App options) {
  auto values = std::make_shared<Values>();
  add_device(options, *values).required();
  return [values](const Output& output) -> Result<ExitStatus> {
    const auto filter = Filter::open(values->device);
    if (!filter) return filter.error();
    const auto attached = filter->attach();
    if (!attached) return attached.error();
    output.say(*attached ? "Attached successfully\n" : "Already was attached\n",
               {{"device", values->device}, {"already_attached", !*attached}});
    return kSuccess;
  };
}

Run define_detach(cli::App options) {
  auto values = std::make_shared<Values>();
  add_device(options, *values).required();
  return [values](const Output& output) -> Result<ExitStatus> {
    const auto filter = Filter::open(values->device);
    if (!filter) return filter.error();
    if (auto detached = filter->detach(); !detached) return detached.error();
    output.say("", {{"device", values->device}});
    return kSuccess;
  };
}

Run define_cbtinfo(cli::App options) {
  auto values = std::make_shared<Values>();
  add_device(options, *values).required();
  return [values](const Output& output) -> Result<ExitStatus> {
    const auto filter = Filter::open(values->device);
    if (!filter) return filter.error();
    const auto info = filter->cbt_info();
    if (!info) return info.error();
    output.say_fields({{"block_size", info->block_size},
                       {"device_capacity", info->capacity},
                       {"block_count", info->block_count},
                       {"generation_id", to_string(info->generation)},
                       {"changes_number", info->changes_number}});
    return kSuccess;
  };
}

// In place, since it may be a pipe or /dev/stdout.
Result<void> write_raw(const std::string& path,
                       const std::vector<std::uint8_t>& bytes) {
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "wbe"));
  if (!file) return fail(errno, "open " + path);
  if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size() ||
      std::fflush(file.get()) != 0)
    return fail(errno, "write " + path);
  return {};
}

// Under a new name that then replaces the old one: not for /dev/stdout.
Result<void> write_saved(const std::string& path, const Filter& filter,
                         FrozenMap map) {
  struct stat st;
  if (::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode))
    return refuse(EINVAL, path + " is not a regular file");
  // Before the first take there is no instant that the map could be of.
  if (map.info.changes_number == 0)
    return refuse(ENODATA, "no snapshot was taken in this generation yet");
  const auto saved = exports::make_change_map(filter, std::move(map));
  if (!saved) return saved.error();
  return cbt::write_map(path, *saved);
}

Run define_readcbtmap(cli::App options) {
  auto values = std::make_shared<Values>();
  add_device(options, *values).required();
  options.add_option("-f,--file", values->file, "where the map goes")
      .type_name("FILE")
      .required();
  options
      .add_option("--format", values->format,
                  "raw: a byte per block; saved: what cbt= of blksnap-nbd and "
                  "of the nbdkit plugin takes")
      .check_member({"raw", "saved"})
      .capture_default_str();
  return [values](const Output& output) -> Result<ExitStatus> {
    const auto filter = Filter::open(values->device);
    if (!filter) return filter.error();
    auto map = filter->read_map();
    if (!map) return map.error();
    const kernel::CbtInfo info = map->info;
    const auto written =
        values->format == "saved"
            ? write_saved(values->file, *filter, std::move(*map))
            : write_raw(values->file, map->bytes);
    if (!written) return written.error();
    output.say("", {{"device", values->device},
                    {"file", values->file},
                    {"format", values->format},
                    {"block_size", info.block_size},
                    {"device_capacity", info.capacity},
                    {"block_count", info.block_count},
                    {"generation_id", to_string(info.generation)},
                    {"changes_number", info.changes_number}});
    return kSuccess;
  };
}

Result<Sectors> parse_range(const std::string& text) {
  Sectors range;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, range.offset);
  if (first.ec == std::errc() && first.ptr != end && *first.ptr == ':') {
    const auto second = std::from_chars(first.ptr + 1, end, range.count);
    if (second.ec == std::errc() && second.ptr == end && range.count > 0)
      return range;
  }
  return refuse(EINVAL, "'" + text +
                            "' is no range of sectors: SECTOR:COUNT, and at "
                            "least one sector");
}

void say_marked(const Output& output, const std::string& text,
                const std::string& device, std::span<const Sectors> ranges) {
  JsonValue marked = JsonValue::array();
  for (const Sectors& range : ranges)
    marked.push_back({{"offset", range.offset}, {"count", range.count}});
  output.say(text, {{"device", device}, {"ranges", std::move(marked)}});
}

Result<ExitStatus> mark_file(const Output& output, const std::string& path) {
  const auto place = kernel::place_of_file(path);
  if (!place) return place.error();
  const auto filter = Filter::open(place->device);
  if (!filter) return filter.error();
  if (auto marked = filter->mark_dirty(place->ranges); !marked)
    return marked.error();
  std::string text = "device path: '" + place->device + "'\n";
  for (const Sectors& range : place->ranges)
    text += "allocate range: ofs=" + std::to_string(range.offset) +
            " cnt=" + std::to_string(range.count) + "\n";
  say_marked(output, text, place->device, place->ranges);
  return kSuccess;
}

Result<ExitStatus> mark_ranges(const Output& output, const std::string& device,
                               const std::vector<std::string>& texts) {
  std::vector<Sectors> ranges;
  for (const std::string& text : texts) {
    const auto range = parse_range(text);
    if (!range) return range.error();
    ranges.push_back(*range);
  }
  const auto filter = Filter::open(device);
  if (!filter) return filter.error();
  if (auto marked = filter->mark_dirty(ranges); !marked) return marked.error();
  say_marked(output, "", device, ranges);
  return kSuccess;
}

Run define_markdirtyblock(cli::App options) {
  auto values = std::make_shared<Values>();
  cli::Option file = options
                         .add_option("-f,--file", values->file,
                                     "mark the blocks that this file lies in")
                         .type_name("FILE");
  cli::Option device = add_device(options, *values).excludes(file);
  cli::Option ranges = options
                           .add_option("-r,--ranges", values->ranges,
                                       "sectors of the device, of 512 bytes")
                           .type_name("SECTOR:COUNT")
                           .needs(device);
  device.needs(ranges);
  return [values](const Output& output) -> Result<ExitStatus> {
    if (!values->file.empty()) return mark_file(output, values->file);
    if (!values->device.empty())
      return mark_ranges(output, values->device, values->ranges);
    return refuse(EINVAL, "either --file or --device and --ranges is needed");
  };
}

constexpr Verb kVerbs[] = {
    {"attach", "Start to track changes of a device",
     "  blksnap attach --device /dev/vdb", define_attach},
    {"detach", "Stop to track changes of a device, and forget them",
     "  blksnap detach --device /dev/vdb", define_detach},
    {"cbtinfo", "Print how changes of a device are tracked",
     "  blksnap cbtinfo --device /dev/vdb", define_cbtinfo},
    {"readcbtmap", "Save the change map of the last snapshot of a device",
     "  blksnap readcbtmap --device /dev/vdb --file vdb.map\n"
     "  blksnap readcbtmap --device /dev/vdb --file vdb.cbt --format=saved",
     define_readcbtmap},
    {"markdirtyblock", "Mark blocks as changed by hand",
     "  blksnap markdirtyblock --file /var/lib/vm/disk.img\n"
     "  blksnap markdirtyblock --device /dev/vdb --ranges 0:8 2048:16",
     define_markdirtyblock},
};

}  // namespace

std::span<const Verb> tracker_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
