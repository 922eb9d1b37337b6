// SPDX-License-Identifier: LGPL-2.1-or-later
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "base/log.h"

int main(int argc, char** argv) {
  // Tests walk many failures on purpose; what counts of them is checked.
  blksnap::logger().set_level(blksnap::LogLevel::kOff);
  return doctest::Context(argc, argv).run();
}
