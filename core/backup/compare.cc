// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/compare.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "backup/block_digester.h"
#include "copy/copier.h"

namespace blksnap::backup {

Result<Comparison> copy_and_compare(copy::Source source,
                                    const copy::CopyPlan& plan,
                                    copy::Target& target,
                                    copy::PullObserver& observer,
                                    const repo::DigestChain& digests) {
  std::mutex mutex;
  Comparison comparison;
  const auto compare =
      [&](std::uint64_t first,
          std::span<const repo::Digest> found) -> Result<void> {
    std::vector<repo::Digest> wanted(found.size());
    if (auto resolved = digests.resolve(first, wanted); !resolved)
      return resolved;
    const std::lock_guard lock(mutex);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (found[i] == wanted[i]) continue;
      const std::uint64_t offset = (first + i) * repo::kBlock;
      comparison.first =
          comparison.bad ? std::min(comparison.first, offset) : offset;
      ++comparison.bad;
    }
    return {};
  };
  BlockDigester digester(digests.blocks(), compare);
  copy::Copier copier(std::move(source), plan, target, observer,
                      {.witness = &digester});
  if (auto copied = copier.run(); !copied) return copied.error();
  copy::Source idle = copier.take_source();
  auto settled =
      digester.settle([&](std::uint64_t offset, std::span<std::byte> buffer) {
        return idle.read(offset, buffer);
      });
  if (!settled) return settled.error();
  comparison.compared = plan.work();
  return comparison;
}

}  // namespace blksnap::backup
