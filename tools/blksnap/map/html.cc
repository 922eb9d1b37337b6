// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/html.h"

#include <openssl/evp.h>

#include <algorithm>
#include <string_view>

#include "base/printable.h"
#include "base/uuid.h"
#include "map/page.h"
#include "map/ramp.h"
#include "map/tables.h"
#include "output.h"

namespace blksnap::tool {
namespace {

constexpr std::size_t kMostPacked = 3u << 20;  // bytes; 4/3 of it in the page

std::string base64(const std::string& bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()),
                      static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

struct PackedMap {
  std::string runs;
  std::uint64_t unit = 0;  // bytes that a number stands for
  std::size_t count = 0;   // of numbers
};

// Never shows less change than there is: the newest number stands for all.
PackedMap pack(const cbt::ChangeMap& map) {
  std::vector<std::uint8_t> numbers = map.bytes();
  std::uint64_t unit = map.block_size();
  std::string runs = pack_runs(numbers);
  while (runs.size() > kMostPacked) {
    const std::size_t half = (numbers.size() + 1) / 2;
    for (std::size_t i = 0; i < half; ++i)
      numbers[i] = std::max(numbers[2 * i], 2 * i + 1 < numbers.size()
                                                ? numbers[2 * i + 1]
                                                : std::uint8_t{0});
    numbers.resize(half);
    unit *= 2;
    runs = pack_runs(numbers);
  }
  return {std::move(runs), unit, numbers.size()};
}

JsonValue palette(const Scene& scene, Theme theme) {
  JsonValue colours = JsonValue::array();
  const unsigned first = scene.first_number(), last = scene.last_number();
  for (unsigned number = first; number <= last; ++number)
    colours.push_back(heat_colour(static_cast<std::uint8_t>(number),
                                  scene.first_number(),
                                  static_cast<std::uint8_t>(last), theme)
                          .hex());
  return colours;
}

JsonValue takes_of(const Scene& scene) {
  JsonValue takes = JsonValue::array();
  for (const TakeRow& row : take_rows(scene))
    takes.push_back({{"name", name_of(row.band)},
                     {"last", row.band.last},
                     {"bytes", row.bytes}});
  return takes;
}

void add_regions(const Scene& scene, JsonValue& page) {
  JsonValue regions = JsonValue::array(), rows = JsonValue::array();
  for (const Region& region : scene.regions)
    regions.push_back({{"name", region.name},
                       {"type", region.type},
                       {"label", printable(region.label)},
                       {"offset", region.range.offset},
                       {"length", region.range.length}});
  for (const RegionRow& row : region_rows(scene))
    rows.push_back({{"name", row.name},
                    {"type", row.type},
                    {"label", printable(row.label)},
                    {"outside", row.outside},
                    {"start", row.start},
                    {"size", row.size},
                    {"changed", row.changed}});
  page.set("partitioned", scene.partitioned);
  page.set("regions", std::move(regions));
  page.set("region_rows", std::move(rows));
}

void add_files(const Scene& scene, JsonValue& page) {
  JsonValue files = JsonValue::array();
  for (const HotFile& file : scene.files) {
    JsonValue places = JsonValue::array();
    for (const ByteRange& place : file.places)
      places.push_back(JsonValue::array({place.offset, place.length}));
    files.push_back({{"path", printable(file.path)},
                     {"partition", file.region},
                     {"changed", file.changed},
                     {"number", file.newest},
                     {"places", std::move(places)}});
  }
  page.set("files", std::move(files));
}

JsonValue data_of(const Scene& scene) {
  const PackedMap packed = pack(scene.map);
  JsonValue page = {{"title", printable(title_of(scene))},
                    {"summary", summary_of(scene)},
                    {"generation", to_string(scene.map.taken().generation)},
                    {"capacity", scene.map.capacity()},
                    {"changed", scene.total().changed()},
                    {"block", scene.map.block_size()},
                    {"unit", packed.unit},
                    {"units", packed.count},
                    {"since", scene.since},
                    {"first", scene.first_number()},
                    {"light", palette(scene, Theme::kLight)},
                    {"dark", palette(scene, Theme::kDark)},
                    {"none_light", unchanged_colour(Theme::kLight).hex()},
                    {"none_dark", unchanged_colour(Theme::kDark).hex()},
                    {"takes", takes_of(scene)},
                    {"notes", scene.notes}};
  add_regions(scene, page);
  add_files(scene, page);
  page.set("map", base64(packed.runs));
  return page;
}

// In a script element nothing may look like the end of it.
std::string embed(const JsonValue& page) {
  std::string text;
  for (const char c : page.dump()) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

}  // namespace

std::string pack_runs(const std::vector<std::uint8_t>& numbers) {
  constexpr std::size_t kLongestRun = 129, kMostLiterals = 128;
  std::string packed;
  std::size_t literals = 0;  // how many the last head counts; 0: none is open
  std::size_t head = 0;      // where it is
  for (std::size_t at = 0; at < numbers.size();) {
    std::size_t run = 1;
    while (run < kLongestRun && at + run < numbers.size() &&
           numbers[at + run] == numbers[at])
      ++run;
    if (run > 2 || (run == 2 && literals == 0)) {
      packed += static_cast<char>(126 + run);
      packed += static_cast<char>(numbers[at]);
      literals = 0;
      at += run;
      continue;
    }
    if (literals == 0 || literals == kMostLiterals) {
      head = packed.size();
      packed += '\0';
      literals = 0;
    }
    packed[head] = static_cast<char>(literals++);
    packed += static_cast<char>(numbers[at++]);
  }
  return packed;
}

Result<std::string> html_of(const Scene& scene) {
  std::string page;
  std::string_view rest = kPage;
  const std::pair<std::string_view, std::string> parts[] = {
      {"{{style}}", kStyle},
      {"{{data}}", embed(data_of(scene))},
      {"{{script}}", kScript}};
  for (const auto& [name, content] : parts) {
    const std::size_t at = rest.find(name);
    page += rest.substr(0, at);
    page += content;
    rest.remove_prefix(at + name.size());
  }
  return page += rest;
}

}  // namespace blksnap::tool
