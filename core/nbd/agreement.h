// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "export/export.h"
#include "nbd/protocol.h"

namespace blksnap::nbd {

// A client may select this many contexts; more is NBD_REP_ERR_TOO_BIG.
inline constexpr std::size_t kMaxContexts = 64;

// A metadata context that the client selected, under the name it asked for
// (an alias keeps its alias) and the id that replies carry. Ids start at 1.
struct SelectedContext {
  std::uint32_t id = 0;
  std::string name;
  std::shared_ptr<const exports::Context> context;
};

// What the handshake settled: all that the transmission phase goes by.
// Immutable from then on; any thread may read it.
struct Agreement {
  std::shared_ptr<exports::Export> served;
  std::uint16_t flags = 0;  // transmission flags, as sent
  Headers headers = Headers::kSimple;
  // Did the client ask for NBD_INFO_BLOCK_SIZE with NBD_OPT_GO? Then it must
  // keep to the minimum ("Size constraints" of the spec); nobody else need.
  bool sizes_agreed = false;
  exports::BlockLimits sizes;
  // Contexts of `served`, which outlives them.
  std::vector<SelectedContext> contexts;
};

// Transmission flags for an export: only what works is advertised. `contexts`:
// has the client selected metadata contexts of it?
std::uint16_t transmission_flags(const exports::Export& served, Headers headers,
                                 bool contexts);

// The export's limits, made fit for NBD_INFO_BLOCK_SIZE: the minimum divides
// the size (clients that keep to a minimum could not reach the tail
// otherwise), the maximum is at most kMaxPayload.
exports::BlockLimits advertised_sizes(const exports::Export& served);

}  // namespace blksnap::nbd
