// SPDX-License-Identifier: LGPL-2.1-or-later
#include "io/fault_file.h"

#include <cerrno>

#include "result.h"

using namespace blksnap;

namespace {

std::vector<std::byte> filled(std::size_t size, int value) {
  return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

}  // namespace

TEST_CASE("fault file: a crash takes what was not flushed") {
  io::FaultFile file(filled(8, 0));
  CHECK(why(file.write(0, filled(4, 1))) == "");
  CHECK(why(file.flush()) == "");
  CHECK(why(file.write(4, filled(4, 2))) == "");
  file.crash();
  auto expected = filled(4, 1);
  expected.resize(8);
  CHECK(file.content() == expected);
}

TEST_CASE("fault file: the nth call fails, once") {
  io::FaultFile file(filled(8, 0));
  file.fail_after(1, ENOSPC);
  CHECK(code(file.write(0, filled(2, 1))) == 0);
  CHECK(code(file.write(2, filled(4, 1))) == ENOSPC);
  CHECK(code(file.write(6, filled(2, 1))) == 0);
  CHECK(file.calls() == 3);
  // Half of the failed write is there.
  CHECK(file.content()[3] == std::byte{1});
  CHECK(file.content()[4] == std::byte{0});
}

TEST_CASE("fault file: a short device") {
  io::FaultFile file(filled(8, 0));
  file.shorten(4);
  CHECK(file.size() == 8);
  auto buffer = filled(4, 9);
  CHECK(code(file.read(2, buffer)) == EIO);
  CHECK(code(file.write(2, buffer)) == ENOSPC);
  CHECK(code(file.run_at(4)) == EIO);
  CHECK(code(file.read(0, buffer)) == 0);
}

TEST_CASE("fault file: holes are blocks of zeroes") {
  constexpr auto kBlock = io::FaultFile::kHoleBlock;
  io::FaultFile file(filled(3 * kBlock - 1, 0));
  CHECK(why(file.write(kBlock, filled(1, 1))) == "");
  const auto run = [&](std::uint64_t offset) { return file.run_at(offset); };
  CHECK(run(5)->end == kBlock);
  CHECK_FALSE(run(5)->data);
  CHECK(run(kBlock)->end == 2 * kBlock);
  CHECK(run(kBlock)->data);
  CHECK(run(2 * kBlock)->end == 3 * kBlock - 1);
  CHECK_FALSE(run(2 * kBlock)->data);
}
