// SPDX-License-Identifier: LGPL-2.1-or-later
#include <string>

#include "kernel/control.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

Result<ExitStatus> print_version(const Output& output) {
  const auto control = kernel::Control::open();
  if (!control) return control.error();
  const auto version = control->version();
  if (!version) return version.error();
  const std::string text = std::to_string(version->major) + "." +
                           std::to_string(version->minor) + "." +
                           std::to_string(version->revision) + "." +
                           std::to_string(version->build);
  output.say(text + "\n", {{"version", text}});
  return kSuccess;
}

constexpr Verb kVerbs[] = {
    {"version", "Print the version of the kernel module", "  blksnap version",
     [](cli::App) -> Run { return print_version; }},
};

}  // namespace

std::span<const Verb> version_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
