// SPDX-License-Identifier: LGPL-2.1-or-later
// Which exports there are, by name. Owns what they stand on (snapshots, files)
// for the life of the process: never a connection does (invariant 5).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "export/export.h"

namespace blksnap::exports {

class Catalogue {
 public:
  virtual ~Catalogue() = default;

  struct Entry {
    std::string name;
    std::string description;
  };
  // What NBD_OPT_LIST shows. Any thread.
  virtual std::vector<Entry> list() const = 0;

  // The export of this name; "" is the default export, if there is one.
  // Names that list() does not show can be valid: NAME@CHECKPOINT and
  // NAME@CHECKPOINT+changed. ENOENT with a sentence that says what is wrong
  // with the name or the checkpoint. Any thread.
  virtual Result<std::shared_ptr<Export>> find(std::string_view name) const = 0;
};

}  // namespace blksnap::exports
