// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/result.h"

#include <stdexcept>
#include <system_error>

namespace blksnap {

Error fail(int code, std::string what) {
  return {code, std::move(what) + ": " + std::generic_category().message(code)};
}

Error refuse(int code, std::string sentence) {
  return {code, std::move(sentence)};
}

Error context(std::string where, Error error) {
  return {error.code, std::move(where) + ": " + std::move(error.message)};
}

void throw_exception_from_error(const Error& error,
                                const boost::source_location& loc) {
  throw std::logic_error(std::string(loc.function_name()) +
                         ": unchecked error: " + error.message);
}

}  // namespace blksnap
