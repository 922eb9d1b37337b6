// SPDX-License-Identifier: LGPL-2.1-or-later
#include <memory>

#include "copy/pull.h"
#include "progress.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

void say(const Output& output, const copy::PullReport& report) {
  JsonValue fields;
  // A server that is not ours names no checkpoint: then there is no line.
  if (!report.checkpoint.empty()) fields.set("checkpoint", report.checkpoint);
  fields.set("device_bytes", report.device_bytes);
  fields.set("read_bytes", report.read_bytes);
  fields.set("zeroed_bytes", report.zeroed_bytes);
  output.say_fields(fields);
}

Run define_pull(cli::App options) {
  struct Values {
    std::string uri, target, since;
  };
  auto values = std::make_shared<Values>();
  options.add_option("URI", values->uri, "export to read, e.g. nbd://host/vdb")
      .required();
  options
      .add_option("TARGET", values->target,
                  "file or block device to write to; an incremental pull "
                  "changes the copy that an earlier one made")
      .type_name("FILE")
      .required();
  cli::Option since =
      options
          .add_option("-s,--since", values->since,
                      "pull only what changed since CHECKPOINT, which an "
                      "earlier pull printed; exit status 3 if the server "
                      "cannot tell: take a full copy then")
          .type_name("CHECKPOINT");
  return [values, since](const Output& output) -> Result<ExitStatus> {
    // An empty name would ask for everything, and look like an incremental.
    if (since.count() && values->since.empty())
      return refuse(EINVAL, "--since: a checkpoint has to be named");
    if (auto good = check_target(values->target); !good) return good.error();
    auto source = copy::Source::connect(values->uri, values->since);
    if (!source) return source.error();
    if (source->incremental() && !source->changes()) {
      complain(refuse(EINVAL, copy::refusal(*source)));
      return kRefused;
    }
    // What it prints is one object, without progress before it.
    Progress progress(output, output.json());
    SingleProgress single(progress);
    auto report = copy::pull(std::move(*source), values->target, single);
    progress.clear();
    if (!report) return report.error();
    say(output, *report);
    return kSuccess;
  };
}

constexpr Verb kVerbs[] = {
    {"pull", "Copy an NBD export, or what changed in it, into a file or device",
     "  blksnap pull nbd://host/vdb vdb.raw\n"
     "  blksnap pull --since 3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.7 \\\n"
     "      nbd://host/vdb vdb.raw\n"
     "  blksnap pull 'nbd+unix:///vdb?socket=/run/blksnap.sock' /dev/sdc",
     define_pull},
};

}  // namespace

std::span<const Verb> pull_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
