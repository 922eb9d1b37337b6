// SPDX-License-Identifier: LGPL-2.1-or-later
#include "interrupt.h"

#include <csignal>

namespace blksnap::tool {
namespace {

volatile std::sig_atomic_t came = 0;

}  // namespace

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { came = 1; };
  for (int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

bool interrupted() {
  return came != 0;
}

}  // namespace blksnap::tool
