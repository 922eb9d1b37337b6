// SPDX-License-Identifier: LGPL-2.1-or-later
#include "result.h"

#include <cerrno>
#include <stdexcept>

using namespace blksnap;

TEST_CASE("result: sentences") {
  CHECK(fail(EIO, "read x").message == "read x: Input/output error");
  CHECK(refuse(EINVAL, "no").message == "no");
  CHECK(context("open x", fail(ENOENT, "y")).message ==
        "open x: y: No such file or directory");
  CHECK(context("open x", fail(ENOENT, "y")).code == ENOENT);
}

TEST_CASE("result: numbers are values, errors are errors") {
  const Result<std::uint64_t> value = std::uint64_t{7};
  CHECK(value.has_value());
  const Result<std::uint64_t> error = refuse(EINVAL, "no");
  CHECK_FALSE(error.has_value());
  CHECK_THROWS_AS((void)error.value(), std::logic_error);
}
