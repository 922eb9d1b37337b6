// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstdio>

#include "kernel/control.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

Result<ExitStatus> print_version() {
  const auto control = kernel::Control::open();
  if (!control) return control.error();
  const auto version = control->version();
  if (!version) return version.error();
  std::printf("%u.%u.%u.%u\n", version->major, version->minor,
              version->revision, version->build);
  return kSuccess;
}

constexpr Verb kVerbs[] = {
    {"version", "Print the version of the kernel module", "  blksnap version",
     [](CLI::App&) -> Run { return print_version; }},
};

}  // namespace

std::span<const Verb> version_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
