// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "backup/backup.h"
#include "backup/local_server.h"
#include "base/settings.h"
#include "copy/connection.h"
#include "progress.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

struct Values {
  std::vector<std::string> sources, names;
  std::string repository, since, checkpoint, rate, diff, limit;
  bool full = false, incremental = false, compress = false, quiet = false;
  unsigned parallel = 4;
};

// The server that belongs to this program; else one of PATH.
std::string server_program() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = self.parent_path() / "blksnap-nbd";
  if (!error && std::filesystem::exists(beside, error)) return beside.string();
  return "blksnap-nbd";
}

// Those sources that are devices of this machine.
Result<std::vector<std::string>> devices_of(const Values& values) {
  std::vector<std::string> devices;
  for (const std::string& source : values.sources) {
    if (copy::is_uri(source)) continue;
    std::error_code error;
    if (std::filesystem::is_regular_file(source, error))
      return refuse(EINVAL, source +
                                " is a plain file: want a block device, or the "
                                "URI of a server, such as blksnap-nbd file=" +
                                source);
    devices.push_back(source);
  }
  if (devices.empty() && !(values.diff.empty() && values.limit.empty()))
    return refuse(EINVAL,
                  "--diff and --limit are for devices of this machine, and "
                  "no SOURCE is one");
  if (!devices.empty() && (values.diff.empty() || values.limit.empty()))
    return refuse(EINVAL, devices[0] +
                              ": a snapshot of a device needs --diff and "
                              "--limit");
  return devices;
}

Result<backup::BackupRequest> request_of(const Values& values) {
  if (values.full && values.incremental)
    return refuse(EINVAL, "--full and --incremental exclude each other");
  if (values.full && !values.since.empty())
    return refuse(EINVAL, "--full and --since exclude each other");
  if (values.names.size() > values.sources.size())
    return refuse(EINVAL, "there are more --name than SOURCE");
  backup::BackupRequest request{.repository = values.repository,
                                .tool = "blksnap " BLKSNAP_VERSION,
                                .disks = {},
                                .serve = {},
                                .since = values.since,
                                .checkpoint = values.checkpoint,
                                .compress = values.compress,
                                .parallel = values.parallel};
  if (values.full) request.kind = backup::BackupRequest::kFull;
  if (values.incremental) request.kind = backup::BackupRequest::kIncremental;
  if (!values.rate.empty()) {
    const auto rate = parse_size(values.rate);
    if (!rate) return context("--rate", rate.error());
    if (*rate == 0) return refuse(EINVAL, "--rate 0: nothing would be read");
    request.rate = *rate;
  }
  for (std::size_t i = 0; i < values.sources.size(); ++i)
    request.disks.push_back({values.sources[i],
                             i < values.names.size() ? values.names[i] : "",
                             {}});
  return request;
}

JsonValue to_object(const repo::DiskRecord& disk) {
  JsonValue object = {{"disk", disk.name},
                      {"kind", disk.incremental() ? "incremental" : "full"},
                      {"size", disk.size},
                      {"read_bytes", disk.read_bytes},
                      {"zeroed_bytes", disk.zeroed_bytes}};
  if (!disk.checkpoint.empty()) object.set("checkpoint", disk.checkpoint);
  return object;
}

void say(const Output& output, const backup::BackupReport& report) {
  if (output.json()) {
    JsonValue disks = JsonValue::array();
    for (const auto& disk : report.manifest.disks) {
      JsonValue object = to_object(disk);
      object.set("quiesced", disk.quiesced);
      object.set("why", disk.why);
      disks.push_back(std::move(object));
    }
    output.say("",
               {{"point", report.point.text()}, {"disks", std::move(disks)}});
    return;
  }
  output.say_fields({{"point", report.point.text()}});
  for (const auto& disk : report.manifest.disks) {
    JsonValue fields = to_object(disk);
    if (!disk.quiesced.empty()) fields.set("quiesced", disk.quiesced);
    output.say_fields(fields, ' ');
  }
}

Result<ExitStatus> back_up(const Output& output, const Values& values) {
  auto request = request_of(values);
  if (!request) return request.error();
  auto devices = devices_of(values);
  if (!devices) return devices.error();
  // One snapshot of all devices, for as long as it is copied from.
  std::optional<backup::LocalServer> server;
  if (!devices->empty())
    request->serve =
        [&](std::vector<backup::SourceDisk>& disks) -> Result<void> {
      auto started = backup::LocalServer::start(
          {server_program(), std::move(*devices), values.diff, values.limit});
      if (!started) return started.error();
      server.emplace(std::move(*started));
      for (backup::SourceDisk& disk : disks) {
        if (copy::is_uri(disk.uri)) continue;
        disk.origin = disk.uri;
        disk.uri = server->uri(disk.origin);
      }
      return {};
    };
  Progress progress(output, values.quiet);
  auto report = backup::run_backup(*request, progress);
  progress.clear();
  if (!report) {
    const Error error =
        server ? server->explain(report.error()) : report.error();
    if (error.code != ESTALE) return error;
    complain(error);
    return kRefused;
  }
  say(output, *report);
  // The exit status alone would make the user back up once more.
  if (std::fflush(stdout) != 0)
    return fail(errno, "point " + report->point.text() +
                           " was made; write to standard output");
  return kSuccess;
}

void add_local_options(cli::App options, Values& values) {
  options
      .add_option("--diff", values.diff,
                  "of a device of this machine: where displaced blocks go, a "
                  "file, a directory or a block device")
      .type_name("PATH");
  options
      .add_option("--limit", values.limit,
                  "and how many bytes at most, or with K, M, G or T")
      .type_name("SIZE");
}

void add_kind_options(cli::App options, Values& values) {
  options.add_flag("--full", values.full, "copy everything");
  options.add_flag("--incremental", values.incremental,
                   "copy what changed since the newest point, or fail with "
                   "exit status 3 if the server cannot tell");
  options
      .add_option("--since", values.since,
                  "the bitmap to ask for, instead of the checkpoint that the "
                  "newest point has; it must tell what changed since then")
      .type_name("BITMAP");
  options
      .add_option("--checkpoint", values.checkpoint,
                  "the name of this instant, for the next backup to ask for, "
                  "where the server does not say it")
      .type_name("NAME");
}

Run define_backup(cli::App options) {
  auto values = std::make_shared<Values>();
  options
      .add_option("SOURCE", values->sources,
                  "exports, e.g. nbd://host/vdb, or devices of this machine, "
                  "of which one snapshot is taken")
      .required();
  options.add_option("--to", values->repository, "the repository, a directory")
      .type_name("REPO")
      .required();
  options
      .add_option("--name", values->names,
                  "of a disk in the repository, in the order of the sources; "
                  "default: that of the export or device")
      .type_name("NAME")
      .allow_extra_args(false);
  add_kind_options(options, *values);
  add_local_options(options, *values);
  options.add_flag("--compress", values->compress, "compress what is written");
  options.add_option("--parallel", values->parallel, "disks to copy at a time")
      .type_name("N")
      .check_range(1, 64)
      .capture_default_str();
  options
      .add_option(
          "--rate", values->rate,
          "read no more than so many bytes a second, or with K, M, G or T")
      .type_name("SIZE");
  options.add_flag("-q,--quiet", values->quiet, "say nothing but errors");
  return [values](const Output& output) { return back_up(output, *values); };
}

constexpr Verb kVerbs[] = {
    {"backup", "Add a point in time to a repository of backups",
     "  blksnap backup nbd://host/vdb --to /backup/host\n"
     "  blksnap backup /dev/vdb /dev/vdc --diff /var/tmp --limit 10G \\\n"
     "      --to /backup/host\n"
     "  blksnap backup --incremental --compress nbd://host/vdb --to /backup",
     define_backup},
};

}  // namespace

std::span<const Verb> backup_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
