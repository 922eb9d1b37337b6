// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/device_catalogue.h"

#include <cerrno>

#include "checkpoint/store.h"
#include "fake_image.h"
#include "result.h"
#include "temp_dir.h"

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
  CHECK(refused("vdb@7") ==
        "'7' is not a checkpoint: want GENERATION.NUMBER.INSTANT, "
        "GENERATION.NUMBER, or a name that was given to one");
  CHECK(refused("vdb@") ==
        "'' is not a checkpoint: want GENERATION.NUMBER.INSTANT, "
        "GENERATION.NUMBER, or a name that was given to one");
  CHECK(refused("vdb@+changed") ==
        "'' is not a checkpoint: want GENERATION.NUMBER.INSTANT, "
        "GENERATION.NUMBER, or a name that was given to one");
  CHECK(refused(kPrevious + "+gone")
            .ends_with("is not a checkpoint: want GENERATION.NUMBER.INSTANT, "
                       "GENERATION.NUMBER, or a name that was given to one"));
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

TEST_CASE("catalogue: takes with instants") {
  auto all = devices({"vdb"});
  all[0].map = std::make_shared<const cbt::ChangeMap>(*cbt::ChangeMap::make(
      4000, 1024, {*parse_uuid(kGeneration), 3, {0x11, 0x12, 0x13}},
      {0, 1, 3, 2}));
  const auto catalogue = DeviceCatalogue::make(std::move(all));
  const std::string full = kPrevious + ".0000000000000012";
  CHECK((*catalogue)->list()[1].name == full);
  CHECK(refusal(**catalogue, full) == "");
  // Older tools ask without the instant. A view has its bitmap by both names.
  CHECK(refusal(**catalogue, kPrevious) == "");
  const auto view = *(*catalogue)->find(kPrevious);
  CHECK(view->description().find(" since=" + full.substr(4) + " ") !=
        std::string::npos);
  for (const std::string& name : {full, kPrevious})
    CHECK(view->find_context("qemu:dirty-bitmap:" + name.substr(4)));
  // The machine was put back since then.
  const std::string other = kPrevious + ".0000000000000019";
  CHECK(refusal(**catalogue, other).find("is of another history") !=
        std::string::npos);
  CHECK_FALSE((*(*catalogue)->find("vdb"))
                  ->find_context("qemu:dirty-bitmap:" + other.substr(4)));
}

TEST_CASE("catalogue: without a map there are no views") {
  auto all = devices({"vdb"});
  all[0].map = nullptr;
  const auto catalogue = DeviceCatalogue::make(std::move(all));
  CHECK((*catalogue)->list().size() == 1);
  CHECK(refusal(**catalogue, kPrevious) ==
        "changes of /dev/vdb are not known: there is no change map");
}

namespace {

// Names in a file, and a catalogue of /dev/vdb, which was taken three times.
struct NamedScene {
  NamedScene() {
    auto made = DeviceCatalogue::make(devices({"vdb"}), path);
    REQUIRE(why(made) == "");
    catalogue = std::move(*made);
  }
  void add(const std::string& name, cbt::Checkpoint at,
           const std::string& device = "/dev/vdb") {
    const auto added = checkpoints::change_names(
        path, [&](exports::Names& names) -> Result<void> {
          names.push_back({name, device, at, 0});
          return {};
        });
    REQUIRE(why(added) == "");
  }
  std::vector<std::string> exports() const {
    std::vector<std::string> names;
    for (const auto& entry : catalogue->list()) names.push_back(entry.name);
    return names;
  }
  std::vector<std::string> contexts(const std::string& name) const {
    const auto found = catalogue->find(name);
    REQUIRE(why(found) == "");
    CHECK((*found)->name() == name);
    std::vector<std::string> names;
    for (const auto& context : (*found)->contexts())
      names.push_back(context->name());
    return names;
  }
  // Is the bitmap of this name there, and does it show what `since` does?
  bool has(const std::string& name, const std::string& bitmap,
           std::uint8_t since) const {
    const auto found = *catalogue->find(name);
    const auto context = found->find_context("qemu:dirty-bitmap:" + bitmap);
    const auto same = (*catalogue->find("vdb"))
                          ->find_context("qemu:dirty-bitmap:" +
                                         checkpoint(since).to_string());
    if (!context) return false;
    ExtentBuilder given({0, 4000}, 10), canonical({0, 4000}, 10);
    REQUIRE(why(context->extents(given)) == "");
    REQUIRE(why(same->extents(canonical)) == "");
    CHECK(context->name() == "qemu:dirty-bitmap:" + bitmap);
    CHECK(given.extents() == canonical.extents());
    return true;
  }

  const TempDir dir;
  const std::string path = dir / "names";
  std::unique_ptr<Catalogue> catalogue;
};

using Strings = std::vector<std::string>;
const cbt::Checkpoint kOther{
    *parse_uuid("4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e"), 1};
const std::string kPreviousBitmap =
    std::string("qemu:dirty-bitmap:") + kGeneration + ".2";

}  // namespace

TEST_CASE("catalogue: checkpoints by the names that were given to them") {
  NamedScene scene;
  CHECK(scene.exports().size() == 3);
  scene.add("first", checkpoint(1));  // while it is served
  scene.add("last", checkpoint(2));   // the previous one, by another name
  CHECK(scene.exports() == Strings{"vdb", kPrevious, kPrevious + "+changed",
                                   "vdb@first", "vdb@first+changed", "vdb@last",
                                   "vdb@last+changed"});
  CHECK(scene.contexts("vdb") == Strings{"base:allocation", kPreviousBitmap,
                                         "qemu:dirty-bitmap:first",
                                         "qemu:dirty-bitmap:last"});
  CHECK(scene.has("vdb", "first", 1));
  CHECK(scene.has("vdb", "last", 2));
  CHECK_FALSE(scene.has("vdb", "none", 1));

  // One bitmap alone, and by the name that was asked for.
  CHECK(scene.contexts("vdb@first") ==
        Strings{"base:allocation", "qemu:dirty-bitmap:first"});
  CHECK(scene.contexts("vdb@first+changed") ==
        Strings{"base:allocation", "qemu:allocation-depth"});
  CHECK(scene.contexts(kPrevious) ==
        Strings{"base:allocation", kPreviousBitmap});
  CHECK(scene.has("vdb@first", "first", 1));
  CHECK(scene.has("vdb@first", "backup-vdb", 1));
  CHECK(scene.has("vdb@first", checkpoint(1).to_string(), 1));
  CHECK(scene.has(kPrevious, "last", 2));
  CHECK_FALSE(scene.has("vdb@first", "last", 2));
  CHECK_FALSE(scene.has("vdb@first+changed", "first", 1));
  CHECK((*scene.catalogue->find("vdb@first"))
            ->description()
            .starts_with("changes of /dev/vdb since first, checkpoint=" +
                         checkpoint(3).to_string() +
                         " since=" + checkpoint(1).to_string()));
  for (const auto& entry : scene.catalogue->list()) {
    const auto found = scene.catalogue->find(entry.name);
    REQUIRE(why(found) == "");
    CHECK((*found)->description() == entry.description);
  }
}

TEST_CASE("catalogue: names that do not stand are not offered") {
  NamedScene scene;
  scene.add("stale", kOther);
  scene.add("ahead", checkpoint(4));
  // The path is for people: the generation says what it is of.
  scene.add("moved", checkpoint(1), "/dev/vdz");
  scene.add("elsewhere", kOther, "/dev/vdc");
  CHECK(scene.exports().size() == 5);
  CHECK(scene.contexts("vdb") ==
        Strings{"base:allocation", kPreviousBitmap, "qemu:dirty-bitmap:moved"});
  for (const char* name : {"stale", "ahead", "elsewhere"})
    CHECK_FALSE(scene.has("vdb", name, 1));
  for (const char* view : {"", "+changed"}) {
    CHECK(refusal(*scene.catalogue, std::string("vdb@stale") + view) ==
          std::string("checkpoint stale is of generation "
                      "4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e; /dev/vdb's "
                      "tracking is of generation ") +
              kGeneration + ": take a full backup");
    CHECK(refusal(*scene.catalogue, std::string("vdb@ahead") + view)
              .starts_with("checkpoint ahead is still to come"));
    CHECK(refusal(*scene.catalogue, std::string("vdb@elsewhere") + view)
              .starts_with("'elsewhere' is not a checkpoint"));
    CHECK(refusal(*scene.catalogue, std::string("vdb@moved") + view) == "");
  }
  // A name of this history, and of one that this path had before.
  scene.add("both", checkpoint(2), "/dev/vdz");
  scene.add("both", kOther);
  CHECK(scene.has("vdb", "both", 2));
  CHECK(refusal(*scene.catalogue, "vdb@both") == "");
}

TEST_CASE(
    "catalogue: a file of names that is damaged takes nothing else away") {
  NamedScene scene;
  scene.add("first", checkpoint(1));
  REQUIRE(scene.has("vdb", "first", 1));
  put(scene.path, "{");
  CHECK(scene.exports() == Strings{"vdb", kPrevious, kPrevious + "+changed"});
  CHECK(scene.contexts("vdb") == Strings{"base:allocation", kPreviousBitmap});
  CHECK_FALSE(scene.has("vdb", "first", 1));
  CHECK(refusal(*scene.catalogue, "vdb@first")
            .starts_with("'first' is not a checkpoint"));
  CHECK(refusal(*scene.catalogue, kPrevious) == "");
}

TEST_CASE("catalogue: without a map no name means anything") {
  const TempDir dir;
  auto all = devices({"vdb"});
  all[0].map = nullptr;
  put(dir / "names", "{");  // and nobody looks
  const auto catalogue = DeviceCatalogue::make(std::move(all), dir / "names");
  CHECK(refusal(**catalogue, "vdb@first") ==
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
        DeviceCatalogue::make(std::move(all), {}, std::move(stone));
    REQUIRE(why(catalogue) == "");
    after_image = false;  // of the Stone that was moved from
  }
  CHECK(after_image);
}
