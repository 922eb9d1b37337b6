// SPDX-License-Identifier: LGPL-2.1-or-later
// The key=value words that say what to serve. One parser for blksnap-nbd and
// the nbdkit plugin (invariant 7), so that both take the same words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace blksnap {

// "1G", "512M", "64k", "4096", "8s" (512-byte sectors); EINVAL with a
// sentence for anything else, overflow included. Bytes.
Result<std::uint64_t> parse_size(std::string_view text);

struct Settings {
  // device=/dev/vdb, repeatable: one coherent snapshot of all is taken at
  // start, held, and released at exit.
  std::vector<std::string> devices;
  // diff=FILE|DIR|BLOCKDEV and limit=SIZE, with device=.
  std::string diff;
  std::uint64_t limit = 0;  // bytes
  // snapshot=UUID: serve one that exists, and leave it.
  std::string snapshot;
  // file=disk.raw: a plain file or device as it is.
  std::string file;
  // cbt=MAPFILE, with file=: a saved change map.
  std::string cbt;
  // checkpoints=FILE: names of checkpoints, where there is a change map; empty
  // for the usual file.
  std::string checkpoints;
  // name=: name of the export; only where there is a single one.
  std::string name;
  // read-write=BOOL, with file=.
  bool read_write = false;

  // Takes one word; EINVAL with a sentence for an unknown key or a bad value.
  // Keys with '-' may be spelled with '_' (nbdkit users are used to both).
  Result<void> set(std::string_view key, std::string_view value);

  // After the last word: do the words fit together? EINVAL says which do not.
  Result<void> check() const;
};

// Help lines for each key, aligned, for --help of both front ends.
extern const char kSettingsHelp[];

}  // namespace blksnap
