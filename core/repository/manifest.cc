// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/manifest.h"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <set>

#include "base/json.h"

namespace blksnap::repo {
namespace {

constexpr int kFormat = 1;
// A backup of a device that is larger cannot have been made.
constexpr std::uint64_t kLargestDisk = std::uint64_t{1} << 62;

Json to_object(const DiskRecord& disk) {
  return {{"name", disk.name},
          {"source", disk.source},
          {"size", disk.size},
          {"image", disk.image},
          {"digests", disk.digests},
          {"kind", disk.incremental() ? "incremental" : "full"},
          {"why", disk.why},
          {"parent", disk.parent ? Json(disk.parent->text()) : Json()},
          {"since", disk.since},
          {"checkpoint", disk.checkpoint},
          {"quiesced", disk.quiesced},
          {"content", disk.content},
          {"read_bytes", disk.read_bytes},
          {"zeroed_bytes", disk.zeroed_bytes}};
}

// Throws Json::exception.
Result<DiskRecord> to_disk(const Json& object) {
  DiskRecord disk;
  object.at("name").get_to(disk.name);
  object.at("source").get_to(disk.source);
  object.at("size").get_to(disk.size);
  object.at("image").get_to(disk.image);
  object.at("digests").get_to(disk.digests);
  object.at("why").get_to(disk.why);
  object.at("since").get_to(disk.since);
  object.at("checkpoint").get_to(disk.checkpoint);
  // Points of earlier versions have none.
  disk.quiesced = object.value("quiesced", "");
  object.at("content").get_to(disk.content);
  object.at("read_bytes").get_to(disk.read_bytes);
  object.at("zeroed_bytes").get_to(disk.zeroed_bytes);
  if (!is_disk_name(disk.name))
    return refuse(EINVAL, "'" + disk.name + "' cannot be a disk's name");
  if (disk.image != disk.name + ".qcow2" || disk.digests != disk.name + ".sums")
    return refuse(EINVAL, "files of " + disk.name + " have names of others");
  if (disk.size > kLargestDisk)
    return refuse(EINVAL, "the size of " + disk.name + " makes no sense");
  const Json& parent = object.at("parent");
  if (!parent.is_null()) {
    disk.parent = PointName::parse(parent.get<std::string>());
    if (!disk.parent)
      return refuse(EINVAL, "the parent of " + disk.name + " is no point");
  }
  return disk;
}

Result<Manifest> to_manifest(const Json& object) {
  if (object.at("format").get<int>() != kFormat)
    return refuse(EINVAL, "its format is not known to this version");
  Manifest manifest;
  object.at("tool").get_to(manifest.tool);
  object.at("started").get_to(manifest.started);
  object.at("finished").get_to(manifest.finished);
  for (const Json& disk : object.at("disks")) {
    auto read = to_disk(disk);
    if (!read) return read.error();
    if (manifest.find(read->name))
      return refuse(EINVAL, "it has " + read->name + " twice");
    manifest.disks.push_back(std::move(*read));
  }
  return manifest;
}

}  // namespace

const DiskRecord* Manifest::find(std::string_view disk) const {
  const auto found = std::find_if(
      disks.begin(), disks.end(),
      [&](const DiskRecord& record) { return record.name == disk; });
  return found == disks.end() ? nullptr : &*found;
}

std::string to_json(const Manifest& manifest) {
  Json disks = Json::array();
  for (const DiskRecord& disk : manifest.disks)
    disks.push_back(to_object(disk));
  const Json object = {{"format", kFormat},
                       {"tool", manifest.tool},
                       {"started", manifest.started},
                       {"finished", manifest.finished},
                       {"disks", std::move(disks)}};
  // Paths need not be UTF-8; JSON has to be.
  return to_text(object, 2) + "\n";
}

Result<Manifest> parse_manifest(std::string_view text) {
  const auto object = parse_json(text);
  if (!object) return context("not a manifest", object.error());
  try {
    return to_manifest(*object);
  } catch (const Json::exception& error) {
    return refuse(EINVAL, "not a manifest: " + reason_of(error));
  }
}

}  // namespace blksnap::repo
