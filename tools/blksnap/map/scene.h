// SPDX-License-Identifier: LGPL-2.1-or-later
// What `blksnap map` shows, whatever it is drawn as.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/range.h"
#include "cbt/map.h"
#include "heat/heat.h"

namespace blksnap::tool {

// A part of the device that has a name: a partition, or all of it where it has
// no partition table.
struct Region {
  std::string name;   // "1"; "-" for the whole device
  std::string type;   // of the file system or so, as blkid(8) says; may be ""
  std::string label;  // may be ""
  ByteRange range;
};

// A file, or what else a file system keeps, that lies in changed blocks.
struct HotFile {
  std::string path;    // within its file system; "(...)" where it is no file
  std::string region;  // name
  std::uint64_t changed = 0;      // bytes of it in changed blocks
  std::uint8_t newest = 0;        // number
  std::vector<ByteRange> places;  // where those are, in order
};

struct Scene {
  std::string source;  // as it was given
  cbt::ChangeMap map;
  std::uint8_t since = 0;  // 0: since tracking began
  std::vector<Region> regions{};
  bool partitioned = false;  // else there is one region, or none is known
  std::vector<HotFile> files{};
  std::vector<std::string> notes{};  // sentences about what is missing, and why

  heat::Heat heat() const { return heat::Heat(map, since); }
  heat::Tally total() const { return heat().tally({0, map.capacity()}); }
  // Those that may be seen: since + 1 to the last take, and above it what the
  // map has (marked after it was taken). Empty, last < first: none.
  std::uint8_t first_number() const {
    return static_cast<std::uint8_t>(since + 1);
  }
  std::uint8_t last_number() const;
  std::uint64_t changed_outside_regions() const;
};

// "/dev/vdb: 8G in blocks of 64K".
std::string title_of(const Scene& scene);
// "1.2G (15.3 %) changed since take 3, up to take 9".
std::string summary_of(const Scene& scene);

}  // namespace blksnap::tool
