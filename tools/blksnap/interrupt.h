// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace blksnap::tool {

// From here on SIGINT and SIGTERM end what waits, not the program: a verb then
// says what it has to say.
void catch_interrupts();
// Did one come? It may have come just before a system call that waits, which it
// does not end then: wait in slices of a second.
bool interrupted();

}  // namespace blksnap::tool
