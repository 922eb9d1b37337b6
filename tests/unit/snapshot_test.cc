// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/snapshot.h"

#include <cerrno>

#include "base/uuid.h"
#include "fake_kernel.h"
#include "kernel/held_snapshot.h"
#include "result.h"

using namespace blksnap;

namespace {

constexpr std::uint32_t kBlock = FakeKernel::kBlock;

Settings settings_for(const FakeKernel& fake,
                      std::initializer_list<const char*> names) {
  Settings settings;
  for (const char* name : names) {
    settings.devices.push_back(fake.device(name));
  }
  settings.diff = "/tmp";
  settings.limit = 1 << 20;
  return settings;
}

std::vector<Extent> extents(const exports::Export& served,
                            const std::string& name) {
  const auto context = served.find_context(name);
  REQUIRE(context);
  ExtentBuilder out({0, served.size()}, 100);
  REQUIRE(why(context->extents(out)) == "");
  return out.extents();
}

std::string text_at(const exports::Export& served, std::uint64_t offset,
                    std::size_t length) {
  std::string text(length, '\0');
  REQUIRE(why(served.read(offset, std::as_writable_bytes(std::span(text)))) ==
          "");
  return text;
}

// The word checkpoint= of a description.
std::string checkpoint_of(const exports::Export& served) {
  const std::string text = served.description();
  const auto at = text.find("checkpoint=");
  REQUIRE(at != std::string::npos);
  return text.substr(at + 11, text.find(' ', at) - at - 11);
}

std::shared_ptr<exports::Export> must_find(const exports::Catalogue& catalogue,
                                           const std::string& name) {
  const auto found = catalogue.find(name);
  REQUIRE(why(found) == "");
  return *found;
}

}  // namespace

TEST_CASE("snapshot: full backup, then what changed") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(4 * kBlock, 'a'));
  const Settings settings = settings_for(fake, {"vdb"});
  std::string base;
  {
    const auto catalogue = exports::take_snapshot(settings, fake);
    REQUIRE(why(catalogue) == "");
    const auto served = must_find(**catalogue, "");
    CHECK(served->name() == "vdb");
    CHECK(served->size() == 4 * kBlock);
    CHECK(served->contexts().size() == 1);
    CHECK(served->description().ends_with(" quiesced=frozen"));
    base = checkpoint_of(*served);
    fake.write("vdb", kBlock, "b");
    CHECK(text_at(*served, kBlock, 1) == "a");
  }
  CHECK(fake.snapshots() == 0);

  fake.quiesced = {};  // a module of the proposal
  const auto catalogue = exports::take_snapshot(settings, fake);
  REQUIRE(why(catalogue) == "");
  const auto served = must_find(**catalogue, "vdb");
  CHECK(served->description().find("quiesced") == std::string::npos);
  using Extents = std::vector<Extent>;
  CHECK(extents(*served, "qemu:dirty-bitmap:" + base) ==
        Extents{{kBlock, 0}, {kBlock, 1}, {2 * kBlock, 0}});
  CHECK(extents(*served, "qemu:dirty-bitmap:backup-vdb") ==
        extents(*served, "qemu:dirty-bitmap:" + base));
  CHECK(extents(*must_find(**catalogue, "vdb@" + base + "+changed"),
                "base:allocation") ==
        Extents{{kBlock, 1}, {kBlock, 0}, {2 * kBlock, 1}});
  CHECK(text_at(*served, kBlock, 1) == "b");
}

TEST_CASE("snapshot: what is discarded and reads as zeroes is dirty and zero") {
  FakeKernel fake;
  // Two units of what is looked at.
  constexpr std::uint32_t kUnit = 16 * kBlock;
  fake.add_device("vdb",
                  std::string(2 * kUnit, 'a') + std::string(2 * kUnit, '\0'));
  const Settings settings = settings_for(fake, {"vdb"});
  std::string base;
  {
    const auto catalogue = exports::take_snapshot(settings, fake);
    REQUIRE(why(catalogue) == "");
    base = checkpoint_of(*must_find(**catalogue, ""));
  }
  // The first unit keeps its bytes, as devices may; the third is zero. The
  // fourth is zero, too, but nobody has said so.
  for (std::size_t block = 0; block < 16; ++block) {
    fake.discard("vdb", block);
    fake.discard("vdb", 32 + block);
  }
  const auto catalogue = exports::take_snapshot(settings, fake);
  REQUIRE(why(catalogue) == "");
  const auto served = must_find(**catalogue, "vdb");
  using Extents = std::vector<Extent>;
  CHECK(extents(*served, "base:allocation") ==
        Extents{{2 * kUnit, 0}, {kUnit, 3}, {kUnit, 0}});
  CHECK(extents(*served, "qemu:dirty-bitmap:" + base) ==
        Extents{{kUnit, 1}, {kUnit, 0}, {kUnit, 1}, {kUnit, 0}});
  CHECK(extents(*must_find(**catalogue, "vdb@" + base + "+changed"),
                "base:allocation") ==
        Extents{{kUnit, 0}, {kUnit, 1}, {kUnit, 2}, {kUnit, 1}});
}

TEST_CASE("snapshot: a lost generation answers nothing") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(4 * kBlock, 'a'));
  const Settings settings = settings_for(fake, {"vdb"});
  const auto base = checkpoint_of(
      *must_find(**exports::take_snapshot(settings, fake), "vdb"));
  fake.new_generation("vdb");
  const auto catalogue = exports::take_snapshot(settings, fake);
  REQUIRE(why(catalogue) == "");
  CHECK_FALSE(
      must_find(**catalogue, "vdb")->find_context("qemu:dirty-bitmap:" + base));
  CHECK(why((*catalogue)->find("vdb@" + base)).ends_with("take a full backup"));
}

TEST_CASE("snapshot: a corrupted image has no unchanged parts") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(4 * kBlock, 'a'));
  const auto catalogue =
      exports::take_snapshot(settings_for(fake, {"vdb"}), fake);
  REQUIRE(why(catalogue) == "");
  const auto served = must_find(**catalogue, "vdb");
  const auto context =
      served->find_context("qemu:dirty-bitmap:" + checkpoint_of(*served));
  REQUIRE(context);
  ExtentBuilder out({0, served->size()}, 100);
  // Whatever the kernel says instead of "alive", it is EIO to a client.
  fake.fail_after(0, ENOENT);
  CHECK(code(context->extents(out)) == EIO);
  fake.corrupt("vdb", ENOSPC);
  const auto answer = context->extents(out);
  CHECK(why(answer) == "the snapshot of " + fake.device("vdb") +
                           " is corrupted: No space left on device");
  CHECK(code(answer) == EIO);
}

TEST_CASE("snapshot: a map of another size is no map") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(4 * kBlock, 'a'));
  const Settings settings = settings_for(fake, {"vdb"});
  REQUIRE(why(exports::take_snapshot(settings, fake)) == "");
  // Fits the blocks of the map, but not the image.
  fake.add_device("vdc", std::string(4 * kBlock - 512, 'a'));
  fake.lie_about_capacity(512);
  const auto catalogue =
      exports::take_snapshot(settings_for(fake, {"vdc"}), fake);
  REQUIRE(why(catalogue) == "");
  const auto served = must_find(**catalogue, "vdc");
  CHECK(served->contexts().size() == 1);
  CHECK(served->description().find("checkpoint=") == std::string::npos);
}

TEST_CASE("snapshot: several devices, and names that clash") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(4 * kBlock, 'a'));
  fake.add_device("vdc", std::string(2 * kBlock, 'c'));
  fake.add_device("mapper/vdb", std::string(kBlock, 'd'), "dm-0");
  {
    const auto catalogue =
        exports::take_snapshot(settings_for(fake, {"vdb", "vdc"}), fake);
    REQUIRE(why(catalogue) == "");
    CHECK(text_at(*must_find(**catalogue, "vdc"), 0, 1) == "c");
    CHECK(code((*catalogue)->find("")) == ENOENT);
  }
  {
    const auto catalogue =
        exports::take_snapshot(settings_for(fake, {"vdb", "mapper/vdb"}), fake);
    REQUIRE(why(catalogue) == "");
    CHECK(text_at(*must_find(**catalogue, "mapper-vdb"), 0, 1) == "d");
    CHECK(code((*catalogue)->find("vdb")) == ENOENT);
  }
  CHECK(fake.snapshots() == 0);
}

TEST_CASE("snapshot: whatever fails, nothing is left") {
  const auto run = [](int call) {
    FakeKernel fake;
    fake.add_device("vdb", std::string(4 * kBlock, 'a'));
    fake.add_device("vdc", std::string(4 * kBlock, 'a'));
    fake.fail_after(call, ENOMEM);
    { (void)exports::take_snapshot(settings_for(fake, {"vdb", "vdc"}), fake); }
    // A failing DESTROY is the one that leaves the snapshot behind.
    const bool destroyed =
        fake.journal().empty() || fake.journal().back() != "take read-only";
    if (destroyed) CHECK(fake.snapshots() == 0);
    return fake.calls();
  };
  const int calls = run(-1);
  REQUIRE(calls > 10);
  for (int call = 0; call < calls; ++call) run(call);
}

TEST_CASE("snapshot: adopted and left") {
  FakeKernel fake;
  fake.add_device("vdb", std::string(4 * kBlock, 'a'));
  fake.add_device("vdc", std::string(2 * kBlock, 'c'));
  std::vector<kernel::Filter> filters;
  for (const char* name : {"vdb", "vdc"}) {
    filters.push_back(*kernel::Filter::open(fake.device(name), fake));
  }
  const auto held = kernel::HeldSnapshot::take(*kernel::Control::open(fake),
                                               filters, "/tmp", 4096);
  REQUIRE(why(held) == "");
  Settings settings;
  settings.snapshot = to_string(held->id());
  {
    const auto catalogue = exports::adopt_snapshot(settings, fake);
    REQUIRE(why(catalogue) == "");
    CHECK(text_at(*must_find(**catalogue, "vdb"), 0, 1) == "a");
    CHECK(text_at(*must_find(**catalogue, "vdc"), 0, 1) == "c");
  }
  CHECK(fake.snapshots() == 1);

  SUBCASE("destroyed by others, and the device taken again") {
    const auto catalogue = exports::adopt_snapshot(settings, fake);
    REQUIRE(why(catalogue) == "");
    const auto context =
        must_find(**catalogue, "vdb")
            ->find_context("qemu:dirty-bitmap:" +
                           checkpoint_of(*must_find(**catalogue, "vdb")));
    REQUIRE(context);
    ExtentBuilder out({0, kBlock}, 1);
    CHECK(why(context->extents(out)) == "");
    const auto control = kernel::Control::open(fake);
    REQUIRE(why(control->destroy(held->id())) == "");
    CHECK(code(context->extents(out)) == EIO);
    const auto again =
        exports::take_snapshot(settings_for(fake, {"vdb"}), fake);
    REQUIRE(why(again) == "");
    CHECK(why(context->extents(out)) ==
          "the snapshot of " + fake.device("vdb") +
              " is gone: the device was taken again");
    CHECK(code(context->extents(out)) == EIO);
    return;
  }

  settings.name = "x";
  CHECK(why(exports::adopt_snapshot(settings, fake)) ==
        "name= is for a single export, but snapshot " + settings.snapshot +
            " has 2 devices");
  settings.snapshot = "ab000000-0000-0000-0000-0000000000ff";
  CHECK(code(exports::adopt_snapshot(settings, fake)) == ENODEV);
}
