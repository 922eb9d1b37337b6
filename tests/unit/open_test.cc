// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/open.h"

#include <cerrno>

#include "cbt/map_file.h"
#include "checkpoint/names.h"
#include "fake_image.h"
#include "result.h"
#include "temp_dir.h"

using namespace blksnap;

TEST_CASE("open: settings are checked first") {
  CHECK(code(exports::open_catalogue(Settings{})) == EINVAL);
}

TEST_CASE("open: a file") {
  const TempDir dir;
  put(dir / "disk.raw", std::string(4000, 'x'));
  Settings settings;
  settings.file = dir / "disk.raw";
  SUBCASE("read-only, under its own name") {
    const auto catalogue = exports::open_catalogue(settings);
    REQUIRE(why(catalogue) == "");
    CHECK((*catalogue)->list().size() == 1);
    const auto served = (*catalogue)->find("disk.raw");
    REQUIRE(why(served) == "");
    CHECK((*served)->size() == 4000);
    CHECK_FALSE((*served)->writable());
    CHECK(code((*served)->write(0, {}, false)) == EROFS);
    CHECK((*served)->description() == "file " + settings.file);
  }
  SUBCASE("read-write, under another") {
    settings.name = "disk";
    settings.read_write = true;
    const auto catalogue = exports::open_catalogue(settings);
    REQUIRE(why(catalogue) == "");
    const auto served = (*catalogue)->find("disk");
    REQUIRE(why(served) == "");
    const std::byte data[] = {std::byte{'y'}};
    CHECK(why((*served)->write(1, data, true)) == "");
    CHECK(get(settings.file).substr(0, 3) == "xyx");
  }
  SUBCASE("with a saved map") {
    settings.cbt = dir / "disk.cbt";
    REQUIRE(why(cbt::write_map(settings.cbt, *fake_device().map)) == "");
    const auto catalogue = exports::open_catalogue(settings);
    REQUIRE(why(catalogue) == "");
    const auto served = (*catalogue)->find("");
    REQUIRE(why(served) == "");
    CHECK((*served)->contexts().size() == 2);
    CHECK((*served)->find_context("qemu:dirty-bitmap:backup-disk.raw"));
    CHECK((*catalogue)->list().size() == 3);
  }
  SUBCASE("with a saved map, and names of its checkpoints") {
    settings.cbt = dir / "disk.cbt";
    settings.checkpoints = dir / "names";
    REQUIRE(why(cbt::write_map(settings.cbt, *fake_device().map)) == "");
    const auto catalogue = exports::open_catalogue(settings);
    REQUIRE(why(catalogue) == "");
    CHECK((*catalogue)->list().size() == 3);
    put(settings.checkpoints,
        *checkpoints::encode({{"first", "/dev/vdb", checkpoint(1), 0}}));
    CHECK((*catalogue)->list().size() == 5);
    CHECK(why((*catalogue)->find("disk.raw@first+changed")) == "");
  }
  SUBCASE("with the map of another size") {
    settings.cbt = dir / "disk.cbt";
    REQUIRE(why(cbt::write_map(settings.cbt, *fake_device().map)) == "");
    put(settings.file, std::string(4001, 'x'));
    const auto catalogue = exports::open_catalogue(settings);
    CHECK(why(catalogue) == settings.cbt +
                                " is made of a device of 4000 bytes, but " +
                                settings.file + " has 4001");
    CHECK(code(catalogue) == EINVAL);
  }
  SUBCASE("with a map that is none") {
    settings.cbt = settings.file;
    CHECK(why(exports::open_catalogue(settings)) ==
          settings.file + " is not a change map");
  }
  SUBCASE("that is not there") {
    settings.file = dir / "none";
    CHECK(code(exports::open_catalogue(settings)) == ENOENT);
  }
}
