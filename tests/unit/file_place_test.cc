// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/file_place.h"

#include <cerrno>

#include "result.h"
#include "temp_dir.h"

using namespace blksnap;

// The file system below decides what can be told; both answers have a form.
TEST_CASE("file place: ranges of a device, or a sentence") {
  const TempDir dir;
  put(dir / "file", std::string(1 << 20, 'x'));
  const auto place = kernel::place_of_file(dir / "file");
  if (!place) {
    CHECK(code(place) == EOPNOTSUPP);
    CHECK(why(place).find(dir / "file") != std::string::npos);
    return;
  }
  CHECK(place->device.starts_with("/dev/"));
  std::uint64_t sectors = 0;
  for (const auto& range : place->ranges) sectors += range.count;
  CHECK(sectors >= (1 << 20) / 512);
}

TEST_CASE("file place: what is no file has none") {
  const TempDir dir;
  CHECK(code(kernel::place_of_file(dir / "none")) == ENOENT);
  CHECK(why(kernel::place_of_file("/dev/null")) == "/dev/null is not a file");
}
