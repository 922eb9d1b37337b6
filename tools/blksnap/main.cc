// SPDX-License-Identifier: LGPL-2.1-or-later
// blksnap: control the filter, inspect changes, pull backups.
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>

#include "base/printable.h"
#include "cli/app.h"
#include "completion.h"
#include "copy/connection.h"
#include "repository/repository.h"
#include "verbs.h"

namespace blksnap::tool {

Result<void> check_target(const std::string& target) {
  if (target == "-")
    return refuse(EINVAL,
                  "'-' is no target: a copy is written at random places; ./- "
                  "names such a file");
  if (copy::is_uri(target)) return {};
  return repo::check_outside_repositories(target);
}

void complain(const Error& error) {
  std::fprintf(stderr, "blksnap: %s\n", printable(error.message).c_str());
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

// A chain of backups is two open files for each of its points, of each disk
// that is looked at, here and in the programs that this one starts.
void allow_many_files() {
  constexpr rlim_t kEnough = 64 * 1024;
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kEnough)
    return;
  limit.rlim_cur = std::min(limit.rlim_max, kEnough);
  (void)setrlimit(RLIMIT_NOFILE, &limit);  // what there is has to do then
}

// What the command line says, once it is parsed.
struct Choice {
  Run run;
  bool json = false;
};

void declare(cli::App parent, const Verb& verb, Choice& choice) {
  cli::App options = parent.add_subcommand(verb.name, verb.summary);
  options.footer(std::string("Examples:\n") + verb.examples);
  if (verb.verbs) {
    options.require_subcommand(1);
    for (const Verb& one : verb.verbs()) declare(options, one, choice);
    return;
  }
  options.add_flag("--json", choice.json, "print JSON: an object a line");
  options.callback([&choice, run = verb.define(options)] { choice.run = run; });
}

// Do the words begin with a command? The parser's own words for it say less.
Result<void> check_command(cli::App at, int argc, char** argv) {
  std::string command = "blksnap";
  for (int i = 1; !at.get_subcommands().empty(); ++i) {
    if (i == argc)
      return refuse(EINVAL, "no command; see " + command + " --help");
    if (argv[i][0] == '-') return {};
    const auto below = at.get_subcommands();
    const auto found = std::find_if(
        below.begin(), below.end(),
        [&](const cli::App& sub) { return sub.get_name() == argv[i]; });
    if (found == below.end())
      return refuse(EINVAL, "there is no command '" + std::string(argv[i]) +
                                "'; see " + command + " --help");
    at = *found;
    command += " " + at.get_name();
  }
  return {};
}

// Unknown options are reported before missing ones: a misspelt --to is both,
// and "--to is required" would hide the typo.
Error explain(cli::App at, const Error& error) {
  std::string command = "blksnap";
  for (;;) {
    for (const std::string& word : at.remaining()) {
      if (word.size() < 2 || word[0] != '-') continue;
      return refuse(
          EINVAL,
          "there is no option '" + word + "'" +
              (at.get_subcommands().empty() ? "" : " before a command") +
              "; see " + command + " --help");
    }
    const auto below = at.parsed_subcommands();
    if (below.empty()) break;
    at = below.front();
    command += " " + at.get_name();
  }
  return refuse(EINVAL, error.message + "; see " + command + " --help");
}

int run(int argc, char** argv) {
  cli::CommandLine line(
      "Change tracking, snapshots and backups of block devices.", "blksnap",
      "blksnap " BLKSNAP_VERSION);
  line.brief_flags();
  cli::App app = line.app();
  app.require_subcommand(1);
  app.footer("blksnap COMMAND --help tells more; see also blksnap(8).");

  Choice choice;
  for (auto family :
       {version_verbs(), tracker_verbs(), snapshot_verbs(), event_verbs(),
        pull_verbs(), backup_verbs(), prune_verbs(), repository_verbs(),
        verify_verbs(), restore_verbs(), export_verbs(), status_verbs(),
        map_verbs(), checkpoint_verbs()}) {
    for (const Verb& verb : family) declare(app, verb, choice);
  }
  // For who packs it: no command, and so not among the options.
  if (argc == 2 && argv[1] == std::string_view("--completion=bash")) {
    std::fputs(bash_completion(app).c_str(), stdout);
    return finish(kSuccess);
  }
  if (auto good = check_command(app, argc, argv); !good)
    return failed(good.error());
  const auto parsed = line.parse(argc, argv);
  if (!parsed) return failed(explain(app, parsed.error()));
  if (*parsed) return finish(**parsed);
  const auto status = choice.run(Output(choice.json));
  return status ? finish(*status) : failed(status.error());
}

}  // namespace
}  // namespace blksnap::tool

int main(int argc, char** argv) {
  try {
    blksnap::tool::allow_many_files();
    return blksnap::tool::run(argc, argv);
  } catch (const std::exception& error) {  // out of memory, and bugs
    return blksnap::tool::failed({EINVAL, error.what()});
  }
}
