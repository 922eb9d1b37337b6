// SPDX-License-Identifier: LGPL-2.1-or-later
// Pulls a full copy of an export, or what changed in it, into a file or a
// block device.
//
//   auto source = Source::connect(uri, since);     // nothing is touched yet
//   if (!source->changes()) ...                    // refused: take a full copy
//   auto report = pull(std::move(*source), "disk.raw", observer);
//
// Resilience. The order is: negotiate; fetch the whole block status; open the
// target; write; fsync; report success. Until the target is written to,
// nothing is lost by any failure. From then until the fsync has returned, an
// incremental pull leaves a mix of two instants, of no use by itself; it is
// mended by running it again with the same `since`, also after a later take:
// what differs from the instant of `since` stays marked as changed since then
// (and if it cannot be told any more, the server refuses the context). So the
// new checkpoint may be remembered only after success, and the old one must be
// kept until then. A full copy that breaks has to be taken again.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "copy/source.h"

namespace blksnap::copy {

// What the user of pull() gets to know meanwhile; called on its thread.
class PullObserver {
 public:
  virtual ~PullObserver() = default;
  // Called just before the target changes for the first time.
  virtual void writing() {}
  // Bytes done of all that are to be read or zeroed; at least twice a second.
  // False stops the pull with ECANCELED, as soon as possible.
  virtual bool proceed(std::uint64_t done, std::uint64_t total) = 0;
};

struct PullReport {
  std::string checkpoint;          // to remember; empty: the server did not say
  std::uint64_t device_bytes = 0;  // size of the export
  std::uint64_t read_bytes = 0;    // read from the server
  std::uint64_t zeroed_bytes = 0;  // made zero without reading them
};

// Incremental if the source is: EINVAL then unless source.changes(), with
// nothing touched. Blocks until the target is on stable storage. The error
// says if the target is incomplete now.
Result<PullReport> pull(Source source, const std::string& target_path,
                        PullObserver& observer);

// Why an incremental pull is not to be had from this source, for people.
std::string refusal(const Source& source);

}  // namespace blksnap::copy
