// SPDX-License-Identifier: LGPL-2.1-or-later
// What a server has done, for logs and monitoring.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace blksnap::nbd {

// Of one connection, or of many.
struct Counts {
  // By type of request; what has no name in the protocol comes last.
  static constexpr std::size_t kKinds = 9;
  std::array<std::uint64_t, kKinds> requests{};
  std::uint64_t errors = 0;          // replies to them that were errors
  std::uint64_t bytes_received = 0;  // from the socket, without TLS's own
  std::uint64_t bytes_sent = 0;

  std::uint64_t all_requests() const;
  Counts& operator+=(const Counts& other);
};

// Those of a connection while it lasts: the connection's thread counts, any
// thread may look. What it sees may be behind, and is never torn.
class Tally {
 public:
  void request(std::uint16_t type) {
    add(requests_[type < Counts::kKinds - 1 ? type : Counts::kKinds - 1], 1);
  }
  void error() { add(errors_, 1); }
  void received(std::size_t bytes) { add(bytes_received_, bytes); }
  void sent(std::size_t bytes) { add(bytes_sent_, bytes); }

  Counts counts() const;

 private:
  using Count = std::atomic<std::uint64_t>;
  // Nobody else adds, so this needs no locked instruction.
  static void add(Count& count, std::uint64_t n) {
    count.store(count.load(std::memory_order_relaxed) + n,
                std::memory_order_relaxed);
  }

  std::array<Count, Counts::kKinds> requests_{};
  Count errors_ = 0;
  Count bytes_received_ = 0;
  Count bytes_sent_ = 0;
};

// The sums of a server. Any thread; its lock is the innermost one.
class Counters {
 public:
  struct Export {
    std::uint64_t connections = 0;  // that are there now
    Counts counts;                  // of all that ever were
  };
  struct Totals {
    std::uint64_t accepted = 0;             // connections
    std::uint64_t refused = 0;              // by the allow list
    std::uint64_t failed_handshakes = 0;    // ended by the server
    std::map<std::string, Export> exports;  // that were ever agreed on
  };

  void accepted();
  void refused();
  void failed_handshake();

  // A connection has agreed on an export; it has left().
  void entered(const std::string& name, std::shared_ptr<const Tally> tally);
  void left(const std::shared_ptr<const Tally>& tally);

  Totals totals() const;

 private:
  mutable std::mutex mutex_;
  Totals ended_;  // its exports without what is in live_
  std::map<std::shared_ptr<const Tally>, std::string> live_;  // their exports
};

}  // namespace blksnap::nbd
