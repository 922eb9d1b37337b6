// SPDX-License-Identifier: LGPL-2.1-or-later
#include "interrupt.h"

namespace blksnap::tool {
namespace {

volatile std::sig_atomic_t came = 0;

}  // namespace

void catch_interrupts(std::initializer_list<int> signals) {
  struct sigaction action = {};
  action.sa_handler = [](int) { came = 1; };
  for (int signal : signals) sigaction(signal, &action, nullptr);
}

bool interrupted() {
  return came != 0;
}

}  // namespace blksnap::tool
