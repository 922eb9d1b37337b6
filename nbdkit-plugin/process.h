// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/settings.h"
#include "export/catalogue.h"
#include "kernel/keeper.h"
#include "nbd/listener.h"
#include "nbd/server.h"

// What the plugin holds for the life of nbdkit's process: the settings, the
// catalogue, and the listeners of bitmaps=.
//
// A snapshot is released once, by whoever serves:
// - .cleanup closes it in order, in the child of the fork, or where nbdkit does
//   not fork (-f, -s) in the only process.
// - nbdkit calls exit() without .cleanup when something fails after .get_ready
//   (its own socket is in use, say): the destructor of the static owner does
//   it then.
// - The parent of the fork calls exit() too, or waits for the child to end
//   (--run). It has to forget all of this instead: forget_in_parent() gives
//   the objects up and closes their descriptors, as the module does not let a
//   snapshot go while any process has an image of it open.
//
// nbdkit gives up its privileges (-u) between .get_ready and .after_fork, and
// says so to nobody. So a keeper of them stays behind wherever the module was
// used; and it releases the snapshot, too, when nbdkit is killed.
class Process {
 public:
  // .config. One word; EINVAL with a sentence.
  blksnap::Result<void> set(std::string_view key, const char* value);
  // .config_complete
  blksnap::Result<void> check() const { return settings_.check(); }
  // .get_ready: binds the listeners and opens the catalogue. No threads.
  blksnap::Result<void> open();
  // .after_fork: serves the listeners.
  blksnap::Result<void> start();
  // .cleanup: waits for the clients of the listeners, releases the catalogue.
  void close();

  // From open() to close().
  const blksnap::exports::Catalogue& catalogue() const { return *catalogue_; }

 private:
  static void forget_in_parent();

  blksnap::Settings settings_;
  std::vector<std::string> bitmaps_;

  // Destroyed in the reverse of this order.
  blksnap::kernel::Keeper keeper_;
  std::shared_ptr<const blksnap::exports::Catalogue> catalogue_;
  std::vector<blksnap::nbd::ListeningSocket> listeners_;
  std::unique_ptr<blksnap::nbd::Server> server_;

  std::vector<int> descriptors_;  // that open() made
  bool serving_ = false;          // no fork of nbdkit's own comes any more
};

// The one of this process.
Process& process();

// For `nbdkit blksnap --help`.
const char* config_help();
