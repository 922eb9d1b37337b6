// SPDX-License-Identifier: LGPL-2.1-or-later
// Names that people give to checkpoints, and the text of the file that keeps
// them (FORMAT.md). No I/O.
#pragma once

#include <cstddef>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cbt/map.h"

namespace blksnap::checkpoints {

// A name for one checkpoint of one device. The generation says which history
// of which device the checkpoint is of; `device` is for people.
struct Named {
  std::string name;
  std::string device;  // path, as it was resolved when the name was given
  cbt::Checkpoint at;
  std::time_t added = 0;  // seconds since 1970

  bool operator==(const Named&) const = default;
};

inline constexpr std::size_t kMaxNameLength = 64;  // bytes
// Names in a file: a server shows them all to whoever lists its exports.
inline constexpr std::size_t kMaxNames = 256;

// EINVAL with a sentence unless it can be a name: 1 to 64 letters, digits, '-',
// '_' and '.', with no '-' in front; neither the canonical name of a checkpoint
// in any spelling, nor "backup-...", which servers give a meaning.
Result<void> check_name(std::string_view name);

// Would both mean something under one name? They are of one device, by its path
// or by the generation that both are of.
bool collide(const Named& one, const Named& other);

// The text of a file that holds `names`. EINVAL: a device's path is not UTF-8,
// or there are more than kMaxNames.
Result<std::string> encode(const std::vector<Named>& names);

// The names in a text, in its order. EINVAL with a sentence that says what is
// wrong and where: all of it is understood, or nothing is taken.
Result<std::vector<Named>> decode(std::string_view text);

}  // namespace blksnap::checkpoints
