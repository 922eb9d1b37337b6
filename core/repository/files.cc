// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/files.h"

#include <span>

#include "io/file.h"

namespace blksnap::repo {

Result<std::string> read_text(const std::filesystem::path& path) {
  constexpr std::size_t kLargest = 16 * 1024 * 1024;  // bytes
  return io::read_plain(path.string(), kLargest);
}

Result<void> replace_text(const std::filesystem::path& path,
                          const std::string& text) {
  return io::replace_file(path.string(), std::as_bytes(std::span(text)));
}

}  // namespace blksnap::repo
