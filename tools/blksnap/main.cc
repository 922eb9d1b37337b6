// SPDX-License-Identifier: LGPL-2.1-or-later
// blksnap: control the filter, inspect changes, pull backups.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "verbs.h"

namespace blksnap::tool {

void complain(const Error& error) {
  std::fprintf(stderr, "blksnap: %s\n", error.message.c_str());
}

namespace {

int failed(const Error& error) {
  complain(error);
  return kFailure;
}

// What was printed is not there before it is flushed: a full disk or a closed
// pipe is a failure too.
int finish(int status) {
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return status;
  return failed(fail(errno, "write to standard output"));
}

int run(int argc, char** argv) {
  CLI::App app("Change tracking, snapshots and backups of block devices.",
               "blksnap");
  app.set_version_flag("--version", "blksnap " BLKSNAP_VERSION);
  app.require_subcommand(1);
  app.footer("blksnap COMMAND --help tells more; see also blksnap(8).");

  if (argc < 2) return failed(refuse(EINVAL, "no command; see blksnap --help"));
  Run chosen;
  bool known = false, json = false;
  for (auto family : {version_verbs(), tracker_verbs(), snapshot_verbs(),
                      event_verbs(), pull_verbs(), status_verbs()}) {
    for (const Verb& verb : family) {
      known |= argv[1] == std::string_view(verb.name);
      CLI::App* options = app.add_subcommand(verb.name, verb.summary);
      options->footer(std::string("Examples:\n") + verb.examples);
      options->add_flag("--json", json, "print JSON: an object a line");
      options->callback(
          [&chosen, run = verb.define(*options)] { chosen = run; });
    }
  }
  if (!known && argv[1][0] != '-')
    return failed(refuse(EINVAL, "there is no command '" +
                                     std::string(argv[1]) +
                                     "'; see blksnap --help"));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and --version come as errors too, with exit code 0.
    if (error.get_exit_code() == 0) return finish(app.exit(error));
    return failed(refuse(EINVAL, error.what()));
  }
  const auto status = chosen(Output(json));
  return status ? finish(*status) : failed(status.error());
}

}  // namespace
}  // namespace blksnap::tool

int main(int argc, char** argv) {
  try {
    return blksnap::tool::run(argc, argv);
  } catch (const std::exception& error) {  // out of memory, and bugs
    return blksnap::tool::failed({EINVAL, error.what()});
  }
}
