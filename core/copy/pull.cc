// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy/pull.h"

#include <cerrno>

#include "copy/copier.h"
#include "copy/file_target.h"

namespace blksnap::copy {

std::string refusal(const Source& source) {
  return "server does not offer " + source.changes_name() + " for " +
         (source.export_name().empty()
              ? "the default export"
              : "export '" + source.export_name() + "'") +
         ": the generation has changed or the checkpoint is unknown; take a "
         "full copy";
}

Result<PullReport> pull(Source source, const std::string& target_path,
                        PullObserver& observer) {
  const bool incremental = source.incremental();
  if (incremental && !source.changes()) return refuse(EINVAL, refusal(source));
  PullReport report;
  report.checkpoint = source.checkpoint();
  report.device_bytes = source.size();

  const auto plan = source.plan();
  if (!plan) return plan.error();

  // A full copy destroys what is there as soon as it opens it.
  if (!incremental) observer.writing();
  auto target = incremental ? FileTarget::open(target_path, source.size())
                            : FileTarget::create(target_path, source.size());
  if (!target) return target.error();

  if (incremental) observer.writing();
  Copier copier(std::move(source), *plan, **target, observer);
  auto done = copier.run();
  // Only what is on stable storage is a copy: see "Resilience" in pull.h.
  if (done) done = (*target)->sync();
  if (!done) {
    Error error = done.error();
    error.message += "; " + target_path + " is incomplete: ";
    error.message +=
        incremental ? "run again with the same --since, or take a full copy"
                    : "take the full copy again";
    return error;
  }
  report.read_bytes = copier.read_bytes();
  report.zeroed_bytes = copier.zeroed_bytes();
  return report;
}

}  // namespace blksnap::copy
