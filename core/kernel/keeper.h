// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <boost/uuid/uuid.hpp>
#include <map>
#include <mutex>
#include <set>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "kernel/system.h"

namespace blksnap::kernel {

// The privileges of a server that gives up its own.
//
// The module answers to CAP_SYS_ADMIN alone, at each ioctl, however the
// descriptor was opened (kmod/blksnap/main.c, kmod/blkfilter_core.c). A server
// needs three of them until it ends: is the image alive (SNAPSHOTINFO), has the
// map moved on (CBTINFO), and the release of the snapshot. To keep the
// capability for them would be to keep nearly all that root can do. So a child
// process keeps it, which does these three things and no other: to devices
// that were in use before it was made, and to snapshots that were made through
// it.
//
// The child ends with its parent, however that ends, and releases the
// snapshots that are left. Signals do not end it.
//
// Until stay_behind() this is the kernel itself, and afterwards any thread may
// call it; errors of the child's end show as EPIPE.
class Keeper : public System {
 public:
  // `kernel` outlives it.
  explicit Keeper(const System& kernel = System::running());
  // Waits until the child has ended: all that uses this System has gone before.
  ~Keeper() override;
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Forks the child; nothing where no ioctl was called yet, so that there is
  // nothing to keep. Once, while there is one thread, and before privileges
  // are given up. The child closes every descriptor that it has no use for.
  Result<void> stay_behind();

  // -1 while there is none.
  pid_t child() const { return child_; }

  int ioctl(int fd, unsigned long command, void* argument) const override;
  Result<UniqueFd> open_device(const std::string& path) const override;
  std::string dev() const override { return kernel_.dev(); }
  std::string sys() const override { return kernel_.sys(); }

 private:
  using Uuid = boost::uuids::uuid;
  struct Call;
  class Child;

  int note(int fd, unsigned long command, void* argument) const;
  int ask(Call& call) const;

  const System& kernel_;
  mutable std::mutex mutex_;  // guards what follows
  UniqueFd channel_;          // to the child, once there is one
  pid_t child_ = -1;
  // Before stay_behind(): what the child will be allowed to touch.
  mutable std::set<int> descriptors_;
  mutable std::map<Uuid, int> snapshots_;  // with the descriptor that made it
};

}  // namespace blksnap::kernel
