// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <csignal>
#include <initializer_list>

namespace blksnap::tool {

// From here on these signals end what waits, not the program: a verb then
// says what it has to say. One that is ignored stays so.
void catch_interrupts(std::initializer_list<int> signals = {SIGINT, SIGTERM});
// Did one come? It may have come just before a system call that waits, which it
// does not end then: wait in slices of a second.
bool interrupted();

}  // namespace blksnap::tool
