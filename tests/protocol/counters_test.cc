// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/counters.h"

#include <doctest/doctest.h>

#include <memory>

#include "nbd/protocol.h"

namespace blksnap::nbd {
namespace {

TEST_CASE("a tally counts requests by type, those without a name together") {
  Tally tally;
  tally.request(NBD_CMD_READ);
  tally.request(NBD_CMD_BLOCK_STATUS);
  tally.request(NBD_CMD_BLOCK_STATUS);
  tally.request(8);
  tally.request(0xffff);
  tally.error();
  tally.received(10);
  tally.received(5);
  tally.sent(7);
  const Counts counts = tally.counts();
  CHECK(counts.requests[NBD_CMD_READ] == 1);
  CHECK(counts.requests[NBD_CMD_WRITE] == 0);
  CHECK(counts.requests[NBD_CMD_BLOCK_STATUS] == 2);
  CHECK(counts.requests[Counts::kKinds - 1] == 2);
  CHECK(counts.all_requests() == 5);
  CHECK(counts.errors == 1);
  CHECK(counts.bytes_received == 15);
  CHECK(counts.bytes_sent == 7);
}

TEST_CASE("totals are those of connections that are there and that were") {
  Counters counters;
  const auto first = std::make_shared<Tally>();
  const auto second = std::make_shared<Tally>();
  const auto other = std::make_shared<Tally>();
  counters.entered("a", first);
  counters.entered("a", second);
  counters.entered("b", other);
  first->request(NBD_CMD_READ);
  second->request(NBD_CMD_READ);
  second->sent(100);
  other->error();

  auto totals = counters.totals();
  CHECK(totals.exports.size() == 2);
  CHECK(totals.exports["a"].connections == 2);
  CHECK(totals.exports["a"].counts.requests[NBD_CMD_READ] == 2);
  CHECK(totals.exports["b"].counts.errors == 1);

  counters.left(second);
  counters.left(second);  // once is enough
  first->request(NBD_CMD_READ);
  totals = counters.totals();
  CHECK(totals.exports["a"].connections == 1);
  CHECK(totals.exports["a"].counts.requests[NBD_CMD_READ] == 3);
  CHECK(totals.exports["a"].counts.bytes_sent == 100);

  counters.left(first);
  counters.left(other);
  totals = counters.totals();
  CHECK(totals.exports["a"].connections == 0);
  CHECK(totals.exports["a"].counts.requests[NBD_CMD_READ] == 3);
  CHECK(totals.exports["b"].counts.errors == 1);

  // One that never agreed on an export.
  counters.left(std::make_shared<Tally>());
  CHECK(counters.totals().exports.size() == 2);
}

}  // namespace
}  // namespace blksnap::nbd
