// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/counters.h"

#include <numeric>
#include <utility>

namespace blksnap::nbd {

std::uint64_t Counts::all_requests() const {
  return std::accumulate(requests.begin(), requests.end(), std::uint64_t{0});
}

Counts& Counts::operator+=(const Counts& other) {
  for (std::size_t i = 0; i < kKinds; ++i) requests[i] += other.requests[i];
  errors += other.errors;
  bytes_received += other.bytes_received;
  bytes_sent += other.bytes_sent;
  return *this;
}

Counts Tally::counts() const {
  Counts counts;
  for (std::size_t i = 0; i < Counts::kKinds; ++i)
    counts.requests[i] = requests_[i].load(std::memory_order_relaxed);
  counts.errors = errors_.load(std::memory_order_relaxed);
  counts.bytes_received = bytes_received_.load(std::memory_order_relaxed);
  counts.bytes_sent = bytes_sent_.load(std::memory_order_relaxed);
  return counts;
}

void Counters::accepted() {
  const std::lock_guard lock(mutex_);
  ++ended_.accepted;
}

void Counters::refused() {
  const std::lock_guard lock(mutex_);
  ++ended_.refused;
}

void Counters::failed_handshake() {
  const std::lock_guard lock(mutex_);
  ++ended_.failed_handshakes;
}

void Counters::entered(const std::string& name,
                       std::shared_ptr<const Tally> tally) {
  const std::lock_guard lock(mutex_);
  ended_.exports[name];
  live_.emplace(std::move(tally), name);
}

void Counters::left(const std::shared_ptr<const Tally>& tally) {
  const std::lock_guard lock(mutex_);
  const auto found = live_.find(tally);
  if (found == live_.end()) return;
  ended_.exports[found->second].counts += tally->counts();
  live_.erase(found);
}

Counters::Totals Counters::totals() const {
  const std::lock_guard lock(mutex_);
  Totals totals = ended_;
  for (const auto& [tally, name] : live_) {
    Export& served = totals.exports[name];
    ++served.connections;
    served.counts += tally->counts();
  }
  return totals;
}

}  // namespace blksnap::nbd
