// SPDX-License-Identifier: LGPL-2.1-or-later
#include "export/contexts.h"

#include <cerrno>

#include "fake_image.h"
#include "result.h"

using namespace blksnap;

namespace {

std::vector<Extent> all(const exports::Context& context) {
  ExtentBuilder out({0, 4000}, 100);
  REQUIRE(why(context.extents(out)) == "");
  CHECK(out.complete());
  return out.extents();
}

}  // namespace

TEST_CASE("contexts: allocation is the image's") {
  const auto device = fake_device();
  const auto context = exports::make_allocation_context(device.image);
  CHECK(context->name() == "base:allocation");
  CHECK(all(*context) == std::vector<Extent>{{2000, 0}, {2000, 3}});
}

TEST_CASE("contexts: dirty is 1, and nothing else is anything but 0") {
  const auto device = fake_device();
  const auto context = exports::make_dirty_context(
      "qemu:dirty-bitmap:x", device.image, device.map, checkpoint(1));
  CHECK(context->name() == "qemu:dirty-bitmap:x");
  CHECK(all(*context) == std::vector<Extent>{{2048, 0}, {1952, 1}});
}

TEST_CASE("contexts: unchanged is a hole without being zero") {
  const auto device = fake_device();
  const auto context =
      exports::make_changed_context(device.image, device.map, checkpoint(2));
  CHECK(context->name() == "base:allocation");
  CHECK(all(*context) == std::vector<Extent>{{2048, 1}, {1024, 2}, {928, 1}});
}

TEST_CASE("contexts: what changed to zeroes is zero, and no hole") {
  const auto device = fake_device();
  const auto context =
      exports::make_changed_context(device.image, device.map, checkpoint(0));
  CHECK(all(*context) == std::vector<Extent>{{1024, 1}, {976, 0}, {2000, 2}});
  // Stopped by the limit wherever it is.
  for (std::size_t most = 1; most < 4; ++most) {
    ExtentBuilder out({0, 4000}, most);
    REQUIRE(why(context->extents(out)) == "");
    const std::uint64_t ends[] = {1024, 2000, 4000};
    CHECK(out.covered_end() == ends[most - 1]);
  }
}

TEST_CASE("contexts: beside dirty bitmaps, no reading of what is clean") {
  const auto image = std::make_shared<FakeImage>(4000);
  const auto device = fake_device(3, image);
  const auto allocation = exports::make_allocation_context(device.image);
  const auto since = [&](std::uint8_t number) {
    return exports::make_dirty_context("qemu:dirty-bitmap:x", device.image,
                                       device.map, checkpoint(number));
  };
  using Contexts = std::vector<std::shared_ptr<const exports::Context>>;
  CHECK(allocation->among(Contexts{allocation, since(1)}) == nullptr);
  image->reads = true;
  CHECK(allocation->among(Contexts{allocation}) == nullptr);
  CHECK(since(1)->among(Contexts{allocation, since(1)}) == nullptr);

  // Of block 2 and 3, the end of the device is zero: from 2000 on.
  const auto one = allocation->among(Contexts{allocation, since(1)});
  REQUIRE(one);
  CHECK(one->name() == "base:allocation");
  CHECK(all(*one) == std::vector<Extent>{{2048, 0}, {1952, 3}});
  const auto oldest =
      allocation->among(Contexts{since(2), since(0), allocation, since(1)});
  REQUIRE(oldest);
  CHECK(all(*oldest) == std::vector<Extent>{{2000, 0}, {2000, 3}});
  image->living = refuse(EIO, "dead");
  ExtentBuilder out({0, 4000}, 100);
  CHECK(code(one->extents(out)) == EIO);
}

TEST_CASE("contexts: all of an image is in it, of a view what changed") {
  const auto device = fake_device();
  CHECK(exports::make_depth_context()->name() == "qemu:allocation-depth");
  CHECK(all(*exports::make_depth_context()) == std::vector<Extent>{{4000, 1}});
  const auto context = exports::make_changed_depth_context(
      device.image, device.map, checkpoint(2));
  CHECK(context->name() == "qemu:allocation-depth");
  CHECK(all(*context) == std::vector<Extent>{{2048, 0}, {1024, 1}, {928, 0}});
}

TEST_CASE("contexts: a dead image has no unchanged parts") {
  const auto image = std::make_shared<FakeImage>(4000);
  const auto device = fake_device(3, image);
  image->living = refuse(EIO, "dead");
  ExtentBuilder out({0, 4000}, 100);
  CHECK(code(exports::make_dirty_context("qemu:dirty-bitmap:x", device.image,
                                         device.map, checkpoint(1))
                 ->extents(out)) == EIO);
  CHECK(code(exports::make_changed_context(device.image, device.map,
                                           checkpoint(1))
                 ->extents(out)) == EIO);
  CHECK(code(exports::make_changed_depth_context(device.image, device.map,
                                                 checkpoint(1))
                 ->extents(out)) == EIO);
}
