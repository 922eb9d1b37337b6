// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image/snapshot_image.h"

#include <array>
#include <cerrno>

#include "io/fault_file.h"
#include "result.h"

using namespace blksnap;

TEST_CASE("snapshot image: read-only, all data") {
  const auto image = image::make_snapshot_image(
      std::make_unique<io::FaultFile>(std::vector<std::byte>(8192)),
      [] { return Result<void>(); });
  CHECK(image->size() == 8192);
  CHECK_FALSE(image->writable());
  std::array<std::byte, 8> buffer{};
  CHECK(code(image->write(0, buffer)) == EROFS);
  CHECK(why(image->read(0, buffer)) == "");
  ExtentBuilder out({0, 8192}, 9);
  CHECK(why(image->allocation(out)) == "");
  CHECK(out.extents() == std::vector<Extent>{{8192, 0}});
}

TEST_CASE("snapshot image: an error says what the image died of") {
  auto file = std::make_unique<io::FaultFile>(std::vector<std::byte>(8192));
  io::FaultFile& device = *file;
  Result<void> living;
  const auto image =
      image::make_snapshot_image(std::move(file), [&] { return living; });
  std::array<std::byte, 8> buffer{};

  device.fail_after(0, ENOMEM);
  const auto passing = image->read(0, buffer);
  CHECK(why(passing) == "read memory: Cannot allocate memory");
  CHECK(code(passing) == ENOMEM);

  living = refuse(EIO, "the snapshot is corrupted");
  device.fail_after(0, EIO);
  const auto dead = image->read(0, buffer);
  CHECK(why(dead) ==
        "read memory: Input/output error: the snapshot is corrupted");
  CHECK(code(dead) == EIO);
  CHECK(code(image->alive()) == EIO);
}
