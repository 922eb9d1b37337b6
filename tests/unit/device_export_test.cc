// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/device_export.h"

#include <atomic>
#include <cerrno>
#include <thread>

#include "export/device_catalogue.h"
#include "fake_image.h"
#include "image/raw_image.h"
#include "io/fault_file.h"
#include "result.h"

using namespace blksnap;
using exports::Device;
using exports::DeviceExport;

namespace {

std::shared_ptr<const Device> shared(Device device) {
  return std::make_shared<const Device>(std::move(device));
}

std::string bitmap(int number) {
  return std::string("qemu:dirty-bitmap:") + kGeneration + "." +
         std::to_string(number);
}

std::vector<std::string> names(const exports::Export& served) {
  std::vector<std::string> all;
  for (const auto& context : served.contexts()) all.push_back(context->name());
  return all;
}

// First extent of what the context of this name says.
Extent first(const exports::Export& served, const std::string& name) {
  const auto context = served.find_context(name);
  REQUIRE(context);
  CHECK(context->name() == name);
  ExtentBuilder out({0, served.size()}, 1);
  REQUIRE(why(context->extents(out)) == "");
  return out.extents().at(0);
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("export: the whole device") {
  const DeviceExport served(shared(fake_device()));
  CHECK(served.name() == "vdb");
  CHECK(served.size() == 4000);
  CHECK_FALSE(served.writable());
  CHECK(served.multi_conn());
  CHECK(served.description() ==
        std::string("snapshot of /dev/vdb, checkpoint=") + kGeneration +
            ".3 granularity=1024 snapshot="
            "ab000000-0000-0000-0000-000000000001");
  CHECK(names(served) == Names{"base:allocation", bitmap(2)});

  CHECK(first(served, "base:allocation") == Extent{2000, 0});
  CHECK(first(served, bitmap(0)) == Extent{1024, 0});
  CHECK(first(served, bitmap(1)) == Extent{2048, 0});
  CHECK(first(served, bitmap(3)) == Extent{4000, 0});
  CHECK(first(served, "qemu:dirty-bitmap:backup-vdb") == Extent{2048, 0});
  CHECK(first(served, "qemu:allocation-depth") == Extent{4000, 1});
  for (const std::string& bad :
       {bitmap(4), std::string("qemu:dirty-bitmap:"),
        std::string("qemu:dirty-bitmap:7"), std::string("base:"),
        std::string("qemu:dirty-bitmap:backup-vdc"),
        std::string("qemu:allocation-depth:"), bitmap(2) + " ",
        std::string(
            "qemu:dirty-bitmap:4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.1")}) {
    CAPTURE(bad);
    CHECK_FALSE(served.find_context(bad));
  }
}

TEST_CASE("export: the first take has no previous one") {
  const DeviceExport served(shared(fake_device(1)));
  CHECK(names(served) == Names{"base:allocation"});
  CHECK_FALSE(served.find_context("qemu:dirty-bitmap:backup-vdb"));
  CHECK(served.find_context(bitmap(0)));
  CHECK(served.find_context(bitmap(1)));
}

TEST_CASE("export: before any take nothing is known") {
  const DeviceExport served(shared(fake_device(0)));
  CHECK(names(served) == Names{"base:allocation"});
  CHECK_FALSE(served.find_context(bitmap(0)));
  CHECK(served.description().find("checkpoint=") == std::string::npos);
}

TEST_CASE("export: without a map") {
  Device device = fake_device();
  device.map = nullptr;
  SUBCASE("a snapshot") {
    const DeviceExport served(shared(std::move(device)));
    CHECK(names(served) == Names{"base:allocation"});
    CHECK_FALSE(served.find_context(bitmap(1)));
    CHECK_FALSE(served.find_context("qemu:dirty-bitmap:backup-vdb"));
    CHECK(served.description() ==
          "snapshot of /dev/vdb, "
          "snapshot=ab000000-0000-0000-0000-000000000001");
  }
  SUBCASE("a file, whose name is no word of ours") {
    device.snapshot.clear();
    device.origin = "a, checkpoint=\n";
    const DeviceExport served(shared(std::move(device)));
    CHECK(served.description() == "file a? checkpoint=?");
  }
}

TEST_CASE("export: the view of one bitmap") {
  const DeviceExport served(shared(fake_device()), checkpoint(1),
                            DeviceExport::View::kBitmap);
  const std::string since = checkpoint(1).to_string();
  CHECK(served.name() == "vdb@" + since);
  CHECK(served.description() ==
        "changes of /dev/vdb since " + since + ", checkpoint=" + kGeneration +
            ".3 since=" + since +
            " granularity=1024 snapshot=ab000000-0000-0000-0000-000000000001");
  CHECK(names(served) == Names{"base:allocation", bitmap(1)});
  CHECK(first(served, "base:allocation") == Extent{2000, 0});
  CHECK(first(served, bitmap(1)) == Extent{2048, 0});
  CHECK(first(served, "qemu:dirty-bitmap:backup-vdb") == Extent{2048, 0});
  CHECK_FALSE(served.find_context(bitmap(2)));
}

TEST_CASE("export: the view of changes alone") {
  const DeviceExport served(shared(fake_device()), checkpoint(1),
                            DeviceExport::View::kChanged);
  CHECK(served.name() == "vdb@" + checkpoint(1).to_string() + "+changed");
  CHECK(names(served) == Names{"base:allocation", "qemu:allocation-depth"});
  CHECK(first(served, "base:allocation") == Extent{2048, 1});
  CHECK(first(served, "qemu:allocation-depth") == Extent{2048, 0});
  CHECK_FALSE(served.find_context(bitmap(1)));
  CHECK_FALSE(served.find_context("qemu:dirty-bitmap:backup-vdb"));
}

TEST_CASE("export: limits") {
  const auto image = std::make_shared<FakeImage>(4000);
  DeviceExport served(shared(fake_device(3, image)));
  CHECK(served.limits().minimum == 1);
  CHECK(served.limits().preferred == 4096);
  image->block_size_value = 65536;
  CHECK(served.limits().preferred == 65536);
}

TEST_CASE("export: writes, and what FUA adds to them") {
  const auto image = std::make_shared<FakeImage>(4000, true);
  Device device = fake_device(3, image);
  device.map = nullptr;
  DeviceExport served(shared(std::move(device)));
  CHECK(served.writable());
  std::byte buffer[4] = {};
  CHECK(why(served.read(0, buffer)) == "");
  CHECK(buffer[3] == std::byte{'x'});
  CHECK(why(served.write(0, buffer, false)) == "");
  CHECK(why(served.write(0, buffer, true)) == "");
  CHECK(why(served.zero({0, 1}, true, false, true)) == "");
  CHECK(why(served.zero({0, 1}, false, true, false)) == "");
  CHECK(why(served.trim({0, 1}, false)) == "");
  CHECK(why(served.trim({0, 1}, true)) == "");
  CHECK(why(served.flush()) == "");
  CHECK(image->done ==
        "write write flush zero-trim flush zero-fast trim trim flush flush ");
  image->answer = refuse(ENOSPC, "full");
  image->done.clear();
  CHECK(code(served.write(0, buffer, true)) == ENOSPC);
  CHECK(image->done == "write ");
}

// For the thread sanitizer; the answers are checked too.
TEST_CASE("export: many threads at once") {
  std::vector<std::byte> content(4000, std::byte{1});
  Device device = fake_device();
  device.image = image::make_raw_image(
      std::make_unique<io::FaultFile>(std::move(content)), false);
  auto catalogue = exports::DeviceCatalogue::make([&] {
    std::vector<Device> all;
    all.push_back(std::move(device));
    return all;
  }());
  REQUIRE(why(catalogue) == "");
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        const auto served = *(*catalogue)->find("vdb");
        std::byte buffer[100] = {};
        if (!served->read(3900, buffer) || buffer[99] != std::byte{1}) ++wrong;
        for (const auto& context : served->contexts()) {
          ExtentBuilder out({0, 4000}, 10);
          if (!context->extents(out) || !out.complete()) ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}
