// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes the digests of blocks from what a copy writes.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <functional>
#include <mutex>
#include <semaphore>
#include <set>
#include <span>

#include "copy/witness.h"
#include "repository/digest.h"

namespace blksnap::backup {

// Blocks that pass by in one piece are digested in threads of its own, while
// the copy goes on; of others it only notes that settle() has to read them.
class BlockDigester : public copy::Witness {
 public:
  // Takes digests of blocks from `first` on. Any thread, several at once.
  using Sink = std::function<Result<void>(std::uint64_t first,
                                          std::span<const repo::Digest>)>;
  using Read =
      std::function<Result<void>(std::uint64_t offset, std::span<std::byte>)>;

  BlockDigester(const repo::Blocks& blocks, Sink sink);
  ~BlockDigester() override;

  Result<void> saw(std::uint64_t offset,
                   std::span<const std::byte> data) override;
  Result<void> saw_zeroes(ByteRange range) override;

  // Until the sink has what was seen so far. `read`: what blocks hold that
  // were written in several pieces, or in part.
  Result<void> settle(const Read& read);

 private:
  ByteRange whole_blocks(ByteRange range);
  void digest(std::uint64_t first, std::span<const std::byte> data);
  void note(Result<void> done);
  Result<void> failure();

  const repo::Blocks blocks_;
  const Sink sink_;
  std::set<std::uint64_t> mixed_;  // blocks to be read
  std::mutex mutex_;
  Result<void> failure_;  // the first; guarded by mutex_
  // Bounds what waits to be digested.
  static constexpr std::ptrdiff_t kWaiting = 32;
  std::counting_semaphore<kWaiting> room_{kWaiting};
  boost::asio::thread_pool workers_;  // first to go: it uses the others
};

}  // namespace blksnap::backup
