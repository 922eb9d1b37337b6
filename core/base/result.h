// SPDX-License-Identifier: LGPL-2.1-or-later
// Errors are values: an errno for programs and a sentence for people, made
// where the cause is known ("read /dev/vdb at 4096+512: Input/output error").
#pragma once

#include <boost/assert/source_location.hpp>
#include <boost/system/result.hpp>
#include <string>
#include <utility>

namespace blksnap {

// Has constructors, since an aggregate could be made of a lone number, and a
// Result<std::uint64_t> would then not know a value from an error.
struct Error {
  Error() = default;
  Error(int errno_value, std::string sentence)
      : code(errno_value), message(std::move(sentence)) {}

  int code = 0;         // errno, positive
  std::string message;  // what, where and why; no trailing full stop
};

template <class T>
using Result = boost::system::result<T, Error>;

// `what` plus strerror(code): fail(EIO, "read /dev/vdb at 0+512").
Error fail(int code, std::string what);

// An error that explains itself; `code` is for programs only.
Error refuse(int code, std::string sentence);

// Puts where we were in front of what went wrong: "open /dev/vdb: ...".
Error context(std::string where, Error error);

// Boost calls this when value() is asked of an error: a bug of the caller.
[[noreturn]] void throw_exception_from_error(const Error& error,
                                             const boost::source_location& loc);

}  // namespace blksnap
