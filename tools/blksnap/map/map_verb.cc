// SPDX-License-Identifier: LGPL-2.1-or-later
// `blksnap map`: what changed, for people.
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/uuid.h"
#include "cbt/map_file.h"
#include "export/change_map.h"
#include "io/file.h"
#include "kernel/filter.h"
#include "map/drawing.h"
#include "map/files.h"
#include "map/html.h"
#include "map/partitions.h"
#include "map/scene.h"
#include "map/tables.h"
#include "map/text.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

struct Values {
  std::string source, since, image;
  std::size_t files = 0;       // how many; 0: none
  std::string svg, png, html;  // files, or "-"
};

Result<cbt::ChangeMap> read_device(const std::string& path) {
  const auto filter = kernel::Filter::open(path);
  if (!filter) return filter.error();
  auto frozen = filter->read_map();
  if (!frozen) return frozen.error();
  // Before the first take there is no instant that the map could be of.
  if (frozen->info.changes_number == 0)
    return refuse(ENODATA, path +
                               ": no snapshot was taken in this generation "
                               "yet, so there is nothing to compare with");
  return exports::make_change_map(*filter, std::move(*frozen));
}

Result<cbt::ChangeMap> read_source(const std::string& source) {
  struct stat st;
  if (::stat(source.c_str(), &st) == 0 && S_ISREG(st.st_mode)) {
    auto map = cbt::read_map(source);
    if (!map)
      return context("read a map that readcbtmap --format=saved has written",
                     map.error());
    return map;
  }
  return read_device(source);
}

// A number of this generation, or a canonical checkpoint, which is checked to
// be of it.
Result<std::uint8_t> parse_since(const std::string& text,
                                 const cbt::ChangeMap& map) {
  cbt::Checkpoint since{map.history().generation};
  const char* const end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, since.number);
  if (code != std::errc() || rest != end) {
    const auto named = cbt::Checkpoint::parse(text);
    if (!named)
      return refuse(EINVAL, "--since: '" + text +
                                "' is neither the number of a take nor a "
                                "checkpoint, GENERATION.NUMBER.INSTANT");
    since = *named;
  }
  if (!map.answers(since))
    return refuse(EINVAL, "--since: nobody can tell what changed since " +
                              since.to_string() + ": the map is of " +
                              map.taken().to_string());
  return since.number;
}

bool is_device(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0 && S_ISBLK(st.st_mode);
}

// Where partitions and files are looked for. The image of a device in a
// snapshot is of the same instant as its map; the device itself goes on.
std::string image_of(const Values& values, Scene& scene) {
  if (!values.image.empty() || !is_device(values.source)) return values.image;
  const auto filter = kernel::Filter::open(values.source);
  const auto info = filter ? filter->snapshot_info() : filter.error();
  if (info && info->error_code == 0 && !info->image.empty()) return info->image;
  if (values.files != 0)
    scene.notes.push_back(values.source +
                          " is in no snapshot: files are told as they are on "
                          "the disk now, which may have changed since the "
                          "take, and what is mounted may not have been written "
                          "yet");
  return values.source;
}

// A map alone has neither partitions nor files.
Result<void> find_places(const Values& values, Scene& scene) {
  const std::string path = image_of(values, scene);
  if (path.empty()) {
    if (values.files != 0)
      return refuse(EINVAL,
                    "--files: a map alone has no files; name the device or a "
                    "copy of it by --image");
    return {};
  }
  const auto file = io::open_file(path);
  if (!file) return file.error();
  if ((*file)->size() != scene.map.capacity())
    return refuse(EINVAL, path + " has " + std::to_string((*file)->size()) +
                              " bytes, and the map is of a device of " +
                              std::to_string(scene.map.capacity()));
  auto found = read_partitions(path, scene.map.capacity());
  if (!found) return found.error();
  scene.regions = std::move(found->regions);
  scene.partitioned = found->table;
  if (values.files != 0) find_files(path, values.files, scene);
  return {};
}

Result<Scene> look(const Values& values) {
  auto map = read_source(values.source);
  if (!map) return map.error();
  Scene scene{.source = values.source, .map = std::move(*map)};
  if (!values.since.empty()) {
    const auto since = parse_since(values.since, scene.map);
    if (!since) return since.error();
    scene.since = *since;
  }
  if (auto found = find_places(values, scene); !found) return found.error();
  return scene;
}

// To a file at once and whole, or to standard output.
Result<void> put(const std::string& path, const std::string& content) {
  if (path == "-") {
    std::fwrite(content.data(), 1, content.size(), stdout);
    return {};  // main() looks whether it went well
  }
  struct stat st;
  if (::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode))
    return refuse(EINVAL,
                  path + " is not a regular file; - is standard output");
  return io::replace_file(path, std::as_bytes(std::span(content)));
}

struct Format {
  std::string Values::*path;
  Result<std::string> (*draw)(const Scene& scene);
};
constexpr Format kFormats[] = {
    {&Values::svg, svg_of}, {&Values::png, png_of}, {&Values::html, html_of}};

// Two things into standard output would be neither of them.
Result<void> check_outputs(const Output& output, const Values& values) {
  std::string first;
  for (const auto& [wanted, name] : {std::pair(values.svg == "-", "--svg -"),
                                     std::pair(values.png == "-", "--png -"),
                                     std::pair(values.html == "-", "--html -"),
                                     std::pair(output.json(), "--json")}) {
    if (!wanted) continue;
    if (!first.empty())
      return refuse(EINVAL, first + " and " + name +
                                " would both write to standard output; give "
                                "one of them a file");
    first = name;
  }
  return {};
}

// Text is for whoever asked for no picture.
Result<ExitStatus> show(const Output& output, const Values& values,
                        const Scene& scene) {
  bool drawn = false;
  for (const Format& format : kFormats) {
    const std::string& path = values.*format.path;
    if (path.empty()) continue;
    const auto content = format.draw(scene);
    if (!content) return content.error();
    if (auto good = put(path, *content); !good) return good.error();
    drawn = true;
  }
  output.draw(drawn ? "" : text_of(scene, TextStyle::of_stdout()),
              json_of(scene));
  return kSuccess;
}

void add_file(cli::App options, const char* name, std::string& path,
              const std::string& what) {
  options.add_option(name, path, what + " into a file; -: standard output")
      .type_name("FILE");
}

Run define_map(cli::App options) {
  auto values = std::make_shared<Values>();
  options
      .add_option("SOURCE", values->source,
                  "a device that is tracked, or the file that readcbtmap "
                  "--format=saved has written")
      .required();
  options
      .add_option("-s,--since", values->since,
                  "only what changed since this take")
      .type_name("NUMBER|CHECKPOINT");
  options
      .add_option("-i,--image", values->image,
                  "where to look for partitions and files: the device, or a "
                  "copy of it; default: a SOURCE that is a device")
      .type_name("FILE");
  options
      // A flag: what follows it may be SOURCE.
      .add_flag("--files{10}", values->files,
                "tell the files that the most changed bytes are of: 10, or as "
                "many as --files=COUNT says")
      .type_name("COUNT")
      .check_range(1, 10000, cli::InHelp::kHide);
  add_file(options, "--svg", values->svg, "draw the map as SVG");
  add_file(options, "--png", values->png, "draw the map as PNG");
  add_file(options, "--html", values->html,
           "write a page to point at and zoom into");
  return [values](const Output& output) -> Result<ExitStatus> {
    if (auto good = check_outputs(output, *values); !good) return good.error();
    const auto scene = look(*values);
    if (!scene) return scene.error();
    return show(output, *values, *scene);
  };
}

constexpr Verb kVerbs[] = {
    {"map", "Show what changed on a device, where, and when",
     "  blksnap map /dev/vdb\n"
     "  blksnap map --since 7 vdb.cbt\n"
     "  blksnap map --png vdb.png --image vdb.raw vdb.cbt\n"
     "  blksnap map --html vdb.html --files=20 /dev/vdb",
     define_map},
};

}  // namespace

std::span<const Verb> map_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
