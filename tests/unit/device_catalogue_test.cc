// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/device_catalogue.h"

#include <cerrno>

#include "fake_image.h"
#include "result.h"

using namespace blksnap;
using exports::Catalogue;
using exports::Device;
using exports::DeviceCatalogue;

namespace {

std::vector<Device> devices(std::initializer_list<const char*> names) {
  std::vector<Device> all;
  for (const char* name : names) {
    all.push_back(fake_device());
    all.back().name = name;
    all.back().origin = "/dev/" + std::string(name);
  }
  return all;
}

std::string refusal(const Catalogue& catalogue, const std::string& name) {
  const auto found = catalogue.find(name);
  if (!found) CHECK(code(found) == ENOENT);
  return why(found);
}

const std::string kPrevious = std::string("vdb@") + kGeneration + ".2";

}  // namespace

TEST_CASE("catalogue: names and views") {
  const auto catalogue = DeviceCatalogue::make(devices({"vdb"}));
  REQUIRE(why(catalogue) == "");
  const auto list = (*catalogue)->list();
  REQUIRE(list.size() == 3);
  CHECK(list[0].name == "vdb");
  CHECK(list[1].name == kPrevious);
  CHECK(list[2].name == kPrevious + "+changed");
  for (const auto& entry : list) {
    const auto found = (*catalogue)->find(entry.name);
    REQUIRE(why(found) == "");
    CHECK((*found)->name() == entry.name);
    CHECK((*found)->description() == entry.description);
  }
  CHECK((*(*catalogue)->find(""))->name() == "vdb");
  // Not listed, but there.
  CHECK(refusal(**catalogue, std::string("vdb@") + kGeneration + ".0") == "");
}

TEST_CASE("catalogue: each wrong name has its sentence") {
  const auto catalogue = DeviceCatalogue::make(devices({"vdb", "vdc"}));
  REQUIRE(why(catalogue) == "");
  const auto refused = [&](const std::string& name) {
    return refusal(**catalogue, name);
  };
  CHECK(refused("") == "there is no default export; served here: vdb vdc");
  CHECK(refused("vdd") == "there is no export 'vdd'; served here: vdb vdc");
  CHECK(refused("vdd@7") == "there is no export 'vdd@7'; served here: vdb vdc");
  CHECK(refused("vdb@7") == "'7' is not a checkpoint: want GENERATION.NUMBER");
  CHECK(refused("vdb@") == "'' is not a checkpoint: want GENERATION.NUMBER");
  CHECK(refused("vdb@+changed") ==
        "'' is not a checkpoint: want GENERATION.NUMBER");
  CHECK(refused(kPrevious + "+gone")
            .ends_with("is not a checkpoint: want GENERATION.NUMBER"));
  CHECK(refused("vdb@4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.1+changed") ==
        std::string("checkpoint 4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.1 is of "
                    "generation 4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e; "
                    "/dev/vdb's tracking is of generation ") +
            kGeneration + ": take a full backup");
  CHECK(refused(std::string("vdb@") + kGeneration + ".4") ==
        std::string("checkpoint ") + kGeneration +
            ".4 is still to come: the last one of /dev/vdb is " + kGeneration +
            ".3");
}

TEST_CASE("catalogue: without a map there are no views") {
  auto all = devices({"vdb"});
  all[0].map = nullptr;
  const auto catalogue = DeviceCatalogue::make(std::move(all));
  CHECK((*catalogue)->list().size() == 1);
  CHECK(refusal(**catalogue, kPrevious) ==
        "changes of /dev/vdb are not known: there is no change map");
}

TEST_CASE("catalogue: a name with an @ of its own") {
  const auto catalogue = DeviceCatalogue::make(devices({"a@b"}));
  CHECK(refusal(**catalogue, "a@b") == "");
  CHECK(refusal(**catalogue, std::string("a@b@") + kGeneration + ".1") == "");
}

TEST_CASE("catalogue: two devices of one name") {
  auto all = devices({"x", "x"});
  all[1].origin = "/dev/mapper/x";
  const auto catalogue = DeviceCatalogue::make(std::move(all));
  CHECK(why(catalogue) ==
        "/dev/x and /dev/mapper/x would both be the export 'x': serve them "
        "apart");
  CHECK(code(catalogue) == EINVAL);
}

TEST_CASE("catalogue: the foundation goes last") {
  struct Stone {
    std::weak_ptr<image::Image> image;
    bool* after_image;
    ~Stone() { *after_image = image.expired(); }
  };
  auto all = devices({"vdb"});
  bool after_image = false;
  auto stone = std::make_shared<Stone>(Stone{all[0].image, &after_image});
  {
    const auto catalogue =
        DeviceCatalogue::make(std::move(all), std::move(stone));
    REQUIRE(why(catalogue) == "");
    after_image = false;  // of the Stone that was moved from
  }
  CHECK(after_image);
}
