// SPDX-License-Identifier: LGPL-2.1-or-later
// Results in checks: CHECK(why(f()) == "") shows the sentence of a failure.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "base/result.h"

namespace blksnap {

template <class T>
std::string why(const Result<T>& result) {
  return result.has_value() ? "" : result.error().message;
}

// errno, or 0.
template <class T>
int code(const Result<T>& result) {
  return result.has_value() ? 0 : result.error().code;
}

}  // namespace blksnap
