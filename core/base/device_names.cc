// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/device_names.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>

namespace blksnap {
namespace {

// The last `parts` of a path, or all that there are.
std::string end_of(const std::filesystem::path& path, std::size_t parts) {
  const std::filesystem::path relative = path.relative_path();
  const auto count =
      static_cast<std::size_t>(std::distance(relative.begin(), relative.end()));
  std::string name;
  auto part =
      std::next(relative.begin(),
                static_cast<std::ptrdiff_t>(count - std::min(parts, count)));
  for (; part != relative.end(); ++part)
    name += (name.empty() ? "" : "-") + part->string();
  return name;
}

}  // namespace

std::vector<std::string> device_names(std::span<const std::string> paths) {
  std::vector<std::string> names(paths.size());
  // Names that are equal get longer, until all of them have their whole path.
  std::vector<std::size_t> parts(paths.size(), 1);
  for (bool longer = true; longer;) {
    std::map<std::string, std::size_t> count;
    longer = false;
    for (std::size_t i = 0; i < paths.size(); ++i) {
      std::string name = end_of(paths[i], parts[i]);
      longer |= name != names[i];
      names[i] = std::move(name);
      ++count[names[i]];
    }
    for (std::size_t i = 0; i < paths.size(); ++i)
      if (count[names[i]] > 1) ++parts[i];
  }
  return names;
}

}  // namespace blksnap
