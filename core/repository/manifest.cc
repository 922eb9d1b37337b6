// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/manifest.h"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <set>

#include "base/json.h"
#include "repository/catalogue.h"
#include "repository/files.h"
#include "repository/seal.h"

namespace blksnap::repo {
namespace {

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
          {"parent", disk.parent ? Json(disk.parent->point.text()) : Json()},
          {"parent_id", disk.parent ? disk.parent->id : ""},
          {"parent_content", disk.parent ? disk.parent->content : ""},
          {"since", disk.since},
          {"checkpoint", disk.checkpoint},
          {"quiesced", disk.quiesced},
          {"content", disk.content},
          {"read_bytes", disk.read_bytes},
          {"zeroed_bytes", disk.zeroed_bytes}};
}

// Throws Json::exception.
Result<std::optional<Parent>> to_parent(const Json& object, int format) {
  const Json& name = object.at("parent");
  if (name.is_null()) return std::optional<Parent>();
  const auto point = PointName::parse(name.get<std::string>());
  if (!point)
    return refuse(EINVAL, "a parent is called '" + name.get<std::string>() +
                              "', which is no point's name");
  Parent parent{*point, {}, {}};
  if (format != kFirstFormat) {
    object.at("parent_id").get_to(parent.id);
    object.at("parent_content").get_to(parent.content);
  }
  return std::optional(std::move(parent));
}

// Throws Json::exception.
Result<DiskRecord> to_disk(const Json& object, int format) {
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
  if (disk.image != disk.name + std::string(kImage) ||
      disk.digests != disk.name + std::string(kDigests))
    return refuse(EINVAL, "files of " + disk.name + " have names of others");
  if (disk.size > kLargestDisk)
    return refuse(EINVAL, "the size of " + disk.name + " makes no sense");
  auto parent = to_parent(object, format);
  if (!parent) return parent.error();
  disk.parent = std::move(*parent);
  return disk;
}

// Throws Json::exception.
Result<Manifest> to_manifest(const Json& object, std::string_view text,
                             const PointName& point) {
  const int format = object.at("format").get<int>();
  if (format != kFormat && format != kFirstFormat)
    return refuse(EINVAL, "its format is not known to this version");
  Manifest manifest;
  if (format != kFirstFormat) {
    if (auto good = check_seal(text); !good) return good.error();
    object.at("id").get_to(manifest.id);
    const auto name = object.at("point").get<std::string>();
    if (name != point.text())
      return refuse(EINVAL, "it is the manifest of point " + name);
  } else if (object.contains("digest")) {
    return refuse(EILSEQ, "it has been changed: its format is another");
  }
  object.at("tool").get_to(manifest.tool);
  object.at("started").get_to(manifest.started);
  object.at("finished").get_to(manifest.finished);
  for (const Json& disk : object.at("disks")) {
    auto read = to_disk(disk, format);
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

std::string to_json(const PointName& point, const Manifest& manifest) {
  Json disks = Json::array();
  for (const DiskRecord& disk : manifest.disks)
    disks.push_back(to_object(disk));
  return sealed({{"format", kFormat},
                 {"id", manifest.id},
                 {"point", point.text()},
                 {"tool", manifest.tool},
                 {"started", manifest.started},
                 {"finished", manifest.finished},
                 {"disks", std::move(disks)}});
}

Result<Manifest> parse_manifest(std::string_view text, const PointName& point) {
  const auto object = parse_json(text);
  if (!object) return context("not a manifest", object.error());
  try {
    return to_manifest(*object, text, point);
  } catch (const Json::exception& error) {
    return refuse(EINVAL, "not a manifest: " + reason_of(error));
  }
}

}  // namespace blksnap::repo
