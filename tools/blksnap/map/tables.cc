// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/tables.h"

#include <algorithm>

#include "base/uuid.h"

namespace blksnap::tool {
namespace {

constexpr std::uint32_t kMostTakeRows = 12;

JsonValue json_of(const ByteRange& range) {
  return {{"offset", range.offset}, {"length", range.length}};
}

JsonValue takes_of(const heat::Tally& tally) {
  JsonValue takes = JsonValue::array();
  for (unsigned number = 1; number < 256; ++number)
    if (const auto bytes = tally[static_cast<std::uint8_t>(number)])
      takes.push_back({{"number", number}, {"changed_bytes", bytes}});
  return takes;
}

}  // namespace

std::string name_of(const heat::Band& band) {
  std::string name = std::to_string(band.last);
  return band.first == band.last ? name
                                 : std::to_string(band.first) + "-" + name;
}

std::string offset_text(std::uint64_t bytes) {
  static constexpr char kUnits[] = " KMGTPE";
  std::size_t unit = 0;
  for (; bytes != 0 && bytes % 1024 == 0; ++unit) bytes /= 1024;
  std::string text = std::to_string(bytes);
  return unit == 0 ? text : text + kUnits[unit];
}

std::vector<TakeRow> take_rows(const Scene& scene) {
  std::vector<TakeRow> rows;
  if (scene.last_number() < scene.first_number()) return rows;
  const heat::Tally total = scene.total();
  for (const heat::Band& band :
       heat::bands(scene.first_number(), scene.last_number(), kMostTakeRows)) {
    const std::uint64_t bytes = total.of(band.first, band.last);
    rows.push_back({band, bytes, percent(bytes, scene.map.capacity())});
  }
  return rows;
}

std::vector<RegionRow> region_rows(const Scene& scene) {
  std::vector<RegionRow> rows;
  if (scene.regions.empty()) return rows;
  const std::uint64_t all = scene.total().changed();
  std::uint64_t inside = 0;
  for (const Region& region : scene.regions) {
    const std::uint64_t changed = scene.heat().tally(region.range).changed();
    rows.push_back({region.name, region.type, region.label, false,
                    region.range.offset, region.range.length, changed,
                    percent(changed, region.range.length),
                    percent(changed, all)});
    inside += region.range.length;
  }
  if (!scene.partitioned) return rows;
  const std::uint64_t rest =
      scene.map.capacity() - std::min(scene.map.capacity(), inside);
  const std::uint64_t changed = scene.changed_outside_regions();
  rows.push_back({"outside", "", "", true, 0, rest, changed,
                  percent(changed, rest), percent(changed, all)});
  return rows;
}

JsonValue json_of(const Scene& scene) {
  const heat::Tally total = scene.total();
  JsonValue partitions = JsonValue::array(), files = JsonValue::array();
  for (const Region& region : scene.regions) {
    const heat::Tally tally = scene.heat().tally(region.range);
    partitions.push_back({{"name", region.name},
                          {"type", region.type},
                          {"label", region.label},
                          {"offset", region.range.offset},
                          {"length", region.range.length},
                          {"changed_bytes", tally.changed()},
                          {"takes", takes_of(tally)}});
  }
  for (const HotFile& file : scene.files) {
    JsonValue places = JsonValue::array();
    for (const ByteRange& place : file.places) places.push_back(json_of(place));
    files.push_back({{"path", file.path},
                     {"partition", file.region},
                     {"changed_bytes", file.changed},
                     {"number", file.newest},
                     {"places", std::move(places)}});
  }
  return {{"source", scene.source},
          {"device_capacity", scene.map.capacity()},
          {"block_size", scene.map.block_size()},
          {"generation_id", to_string(scene.map.taken().generation)},
          {"changes_number", scene.map.taken().number},
          {"since", scene.since},
          {"changed_bytes", total.changed()},
          {"takes", takes_of(total)},
          {"partitions", std::move(partitions)},
          {"changed_bytes_outside", scene.changed_outside_regions()},
          {"files", std::move(files)},
          {"notes", scene.notes}};
}

}  // namespace blksnap::tool
