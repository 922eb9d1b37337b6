// SPDX-License-Identifier: LGPL-2.1-or-later
// Checkpoints of a device, and which of them a history knows.
#pragma once

#include <boost/uuid/uuid.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace blksnap::cbt {

// One take of a device: the generation of its numbering, the number, and the
// instant, 64 random bits of that take. A machine that is put back to an
// earlier state, with its memory, gives a number again; the instant differs
// then.
//
// The canonical text is "GENERATION.N.INSTANT", e.g.
// "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.7.04f2a61be390d85c", or "GENERATION.N"
// where the instant is not known (an older module). parse() accepts nothing
// else: lower case, no sign, no leading zeros of N, N in 0..255, 16 digits of
// INSTANT, not all of them zero.
struct Checkpoint {
  boost::uuids::uuid generation{};
  std::uint8_t number = 0;
  std::uint64_t instant = 0;  // 0: not known

  bool operator==(const Checkpoint&) const = default;
  std::string to_string() const;
  static Result<Checkpoint> parse(std::string_view text);

  // May both be one take? They are unless their instants are known and differ.
  bool may_be(const Checkpoint& other) const;
};

// The takes of the generation that a device is in.
struct History {
  boost::uuids::uuid generation{};
  std::uint8_t number = 0;  // the last take has it; 0: there was none
  // Take n's at [n - 1]. Empty: they are not known.
  std::vector<std::uint64_t> instants{};

  Checkpoint last() const { return at(number); }

  // Finds the take that `named` names, and completes it with its instant.
  // Returns nothing if this history does not have it, or cannot tell because
  // `named` has an instant and this history has none.
  std::optional<Checkpoint> find(const Checkpoint& named) const;

  // Why find() finds nothing: "checkpoint NAME is of generation ...". `device`
  // is the path that people know it by.
  std::string why_not(const Checkpoint& named, const std::string& name,
                      const std::string& device) const;

 private:
  Checkpoint at(std::uint8_t n) const;
};

}  // namespace blksnap::cbt
