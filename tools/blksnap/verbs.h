// SPDX-License-Identifier: LGPL-2.1-or-later
// The verbs of blksnap(8): `blksnap VERB [options]`. One file a family; what
// they print is an interface that scripts rely on (tools/man/blksnap.8).
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/result.h"
#include "cli/app.h"
#include "output.h"

namespace blksnap::tool {

enum ExitStatus {
  kSuccess = 0,
  kFailure = 1,  // with one line on stderr
  // pull --since, backup --incremental: the server cannot tell what changed.
  kRefused = 3,
};

// Does the verb's work once its options are parsed, and says what it has to
// say. An error becomes the one line on stderr, and kFailure.
using Run = std::function<Result<ExitStatus>(const Output&)>;

struct Verb {
  const char* name;
  const char* summary;   // one line
  const char* examples;  // lines, for the end of its --help
  // Declares the verb's options on its own subcommand.
  Run (*define)(cli::App options);
  // Of a verb that has verbs of its own and does nothing by itself, instead.
  std::span<const Verb> (*verbs)() = nullptr;
};

std::span<const Verb> version_verbs();
std::span<const Verb> tracker_verbs();
std::span<const Verb> snapshot_verbs();
std::span<const Verb> event_verbs();
std::span<const Verb> pull_verbs();
std::span<const Verb> backup_verbs();
std::span<const Verb> prune_verbs();
std::span<const Verb> export_verbs();
std::span<const Verb> repository_verbs();
std::span<const Verb> verify_verbs();
std::span<const Verb> restore_verbs();
std::span<const Verb> status_verbs();
std::span<const Verb> map_verbs();
std::span<const Verb> checkpoint_verbs();

// EINVAL: no disk can be written to that target of pull or restore.
Result<void> check_target(const std::string& target);

// Prints the one line for an error on stderr.
void complain(const Error& error);

}  // namespace blksnap::tool
