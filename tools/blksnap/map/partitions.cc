// SPDX-License-Identifier: LGPL-2.1-or-later
#include "map/partitions.h"

#include <blkid/blkid.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/fd.h"

namespace blksnap::tool {
namespace {

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, FreeProbe>;

constexpr std::uint64_t kSector = 512;  // what libblkid counts in

std::string value_of(blkid_probe probe, const char* name) {
  const char* value = nullptr;
  return blkid_probe_lookup_value(probe, name, &value, nullptr) == 0 ? value
                                                                     : "";
}

// What a range holds. That it cannot be told is no error.
void identify(int fd, Region& region) {
  const Probe probe(blkid_new_probe());
  if (!probe ||
      blkid_probe_set_device(
          probe.get(), fd, static_cast<blkid_loff_t>(region.range.offset),
          static_cast<blkid_loff_t>(region.range.length)) != 0)
    return;
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(),
                                    BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
  if (blkid_do_safeprobe(probe.get()) != 0) return;
  region.type = value_of(probe.get(), "TYPE");
  region.label = value_of(probe.get(), "LABEL");
}

// The partitions alone: their table, extended ones and free space are no
// regions.
std::vector<Region> regions_of(blkid_partlist list, std::uint64_t capacity) {
  std::vector<Region> regions;
  for (int i = 0; i < blkid_partlist_numof_partitions(list); ++i) {
    const blkid_partition entry = blkid_partlist_get_partition(list, i);
    const auto start =
        static_cast<std::uint64_t>(blkid_partition_get_start(entry)) * kSector;
    const auto size =
        static_cast<std::uint64_t>(blkid_partition_get_size(entry)) * kSector;
    if (blkid_partition_is_extended(entry) || start >= capacity) continue;
    Region& region = regions.emplace_back();
    region.name = std::to_string(blkid_partition_get_partno(entry));
    region.range = {start, std::min(size, capacity - start)};
    const char* name = blkid_partition_get_name(entry);
    if (name) region.label = name;
  }
  std::sort(regions.begin(), regions.end(), [](const auto& a, const auto& b) {
    return a.range.offset < b.range.offset;
  });
  return regions;
}

}  // namespace

Result<Partitions> read_partitions(const std::string& path,
                                   std::uint64_t capacity) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return fail(errno, "open " + path);
  const Probe probe(blkid_new_probe());
  if (!probe || blkid_probe_set_device(probe.get(), fd.get(), 0,
                                       static_cast<blkid_loff_t>(capacity)))
    return refuse(
        EIO, "look for partitions of " + path + ": libblkid cannot read it");
  blkid_probe_enable_superblocks(probe.get(), 0);
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_probe_set_partitions_flags(probe.get(), BLKID_PARTS_ENTRY_DETAILS);
  Partitions found;
  if (blkid_do_safeprobe(probe.get()) == 0)
    if (blkid_partlist list = blkid_probe_get_partitions(probe.get()))
      found.regions = regions_of(list, capacity);
  found.table = !found.regions.empty();
  if (!found.table)
    found.regions.push_back({"-", "", "", ByteRange{0, capacity}});
  for (Region& region : found.regions) {
    const std::string name = region.label;
    identify(fd.get(), region);
    if (region.label.empty()) region.label = name;
  }
  return found;
}

}  // namespace blksnap::tool
