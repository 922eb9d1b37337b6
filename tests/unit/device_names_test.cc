// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/device_names.h"

#include "base/format.h"
#include "result.h"

using namespace blksnap;

namespace {

std::vector<std::string> names(const std::vector<std::string>& paths) {
  return device_names(paths);
}
using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("device names: the last part, and more where it is shared") {
  CHECK(names({}) == Names{});
  CHECK(names({"/dev/vdb"}) == Names{"vdb"});
  CHECK(names({"/dev/mapper/vg-root", "/dev/vdb"}) == Names{"vg-root", "vdb"});
  CHECK(names({"/dev/vg1/root", "/dev/vdb", "/dev/vg2/root"}) ==
        Names{"vg1-root", "vdb", "vg2-root"});
  CHECK(names({"/dev/a/vg/x", "/dev/b/vg/x", "/dev/c/x"}) ==
        Names{"a-vg-x", "b-vg-x", "c-x"});
  // One is longer than the other.
  CHECK(names({"/x", "/dev/x"}) == Names{"x", "dev-x"});
  CHECK(names({"x", "dev//x"}) == Names{"x", "dev-x"});
  // Nothing tells these apart, or no longer.
  CHECK(names({"/dev/x", "/dev/x"}) == Names{"dev-x", "dev-x"});
}

TEST_CASE("percent encoding: what a URI may have stays") {
  CHECK(percent_encoded("vdb-1_2.3~+,:@/x") == "vdb-1_2.3~+,:@/x");
  CHECK(percent_encoded("a b#c%d?e&f") == "a%20b%23c%25d%3Fe%26f");
  CHECK(percent_encoded(std::string("\0\xff", 2)) == "%00%FF");
}
