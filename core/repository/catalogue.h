// SPDX-License-Identifier: LGPL-2.1-or-later
// blksnap-repository.json: that a folder is a repository, of which format, and
// which points it has to have. FORMAT.md, "Catalogue".
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "repository/names.h"

namespace blksnap::repo {

constexpr int kFormat = 2;
// The first format has no catalogue, and manifests without digest, id and
// links. Readers understand it, and the next writer makes kFormat of it.
constexpr int kFirstFormat = 1;

struct Catalogue {
  int format = kFormat;
  std::map<PointName, std::string> points;  // their ids
  // Why the list of points is not known, where it is damaged.
  std::optional<Error> damage;
};

std::string to_json(const Catalogue& catalogue);
// EINVAL with a sentence: no JSON, or of a format that is not known.
Result<Catalogue> parse_catalogue(std::string_view text);

}  // namespace blksnap::repo
