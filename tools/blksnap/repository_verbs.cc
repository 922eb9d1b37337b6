// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/printable.h"
#include "progress.h"
#include "repository/repository.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

using repo::DiskRecord;
using repo::Point;
using repo::Repository;

// Columns as wide as what is in them.
std::string table(std::vector<std::vector<std::string>> rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = printable(row[i]);
      widths[i] = std::max(widths[i], row[i].size());
    }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += row[i] + std::string(widths[i] + 2 - row[i].size(), ' ');
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

JsonValue to_object(const Repository& repository, const Point& point) {
  JsonValue disks = JsonValue::array();
  for (const DiskRecord& disk : point.manifest.disks)
    disks.push_back(
        {{"disk", disk.name},
         {"kind", disk.incremental() ? "incremental" : "full"},
         {"why", disk.why},
         {"parent",
          disk.parent ? JsonValue(disk.parent->point.text()) : JsonValue()},
         {"size", disk.size},
         {"on_disk_bytes", repository.on_disk_bytes(point, disk)},
         {"image", repository.image(point.name, disk).string()},
         {"source", disk.source},
         {"checkpoint", disk.checkpoint},
         {"quiesced", disk.quiesced},
         {"content", disk.content}});
  return {{"point", point.name.text()},
          {"started", point.manifest.started},
          {"finished", point.manifest.finished},
          {"tool", point.manifest.tool},
          {"disks", std::move(disks)}};
}

Result<ExitStatus> list(const Output& output, const std::string& path) {
  const auto repository = Repository::open(path);
  if (!repository) return repository.error();
  const auto listing = repository->list();
  if (!listing) return listing.error();
  std::vector<std::vector<std::string>> rows = {{"POINT", "DISK", "KIND",
                                                 "PARENT", "SIZE", "ON DISK",
                                                 "CHECKPOINT", "WHY FULL"}};
  JsonValue points = JsonValue::array();
  for (const Point& point : listing->points) {
    points.push_back(to_object(*repository, point));
    for (const DiskRecord& disk : point.manifest.disks)
      rows.push_back({point.name.text(), disk.name,
                      disk.incremental() ? "incremental" : "full",
                      disk.parent ? disk.parent->point.text() : "-",
                      size_text(disk.size),
                      size_text(repository->on_disk_bytes(point, disk)),
                      disk.checkpoint.empty() ? "-" : disk.checkpoint,
                      disk.incremental() ? "-" : disk.why});
  }
  const auto leftovers = repository->leftovers();
  if (!leftovers) return leftovers.error();
  JsonValue left = JsonValue::array();
  std::string left_text;
  for (const auto& name : *leftovers) {
    const std::uint64_t bytes = repository->on_disk_bytes(name);
    left.push_back({{"name", name.string()}, {"on_disk_bytes", bytes}});
    left_text += "left over: " + printable(name.string()) + " (" +
                 size_text(bytes) + ")\n";
  }
  JsonValue damaged = JsonValue::array();
  std::string said;
  for (const repo::Damage& damage : listing->damaged) {
    damaged.push_back(
        {{"point", damage.point.text()}, {"what", damage.error.message}});
    said += (said.empty() ? "" : "; ") + damage.error.message;
  }
  output.say(table(std::move(rows)) + left_text,
             {{"points", std::move(points)},
              {"damaged", std::move(damaged)},
              {"leftovers", std::move(left)}});
  if (said.empty()) return kSuccess;
  // (One line on standard error, as of every failure.)
  return refuse(EIO, "damaged: " + said);
}

Run define_list(cli::App options) {
  auto path = std::make_shared<std::string>();
  options.add_option("REPO", *path, "the repository").required();
  return [path](const Output& output) { return list(output, *path); };
}

constexpr Verb kVerbs[] = {
    {"list", "Print the points in time that a repository has",
     "  blksnap list /backup/host\n"
     "  blksnap list --json /backup/host",
     define_list},
};

}  // namespace

std::span<const Verb> repository_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
