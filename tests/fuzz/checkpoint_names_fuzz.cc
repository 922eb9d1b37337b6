// SPDX-License-Identifier: LGPL-2.1-or-later
// Any text for a file of checkpoint names. What is understood is written so
// that it means the same, and no name in it can be taken for another thing.
#include <cerrno>
#include <string_view>

#include "checkpoint/names.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace blksnap;
  const auto names =
      checkpoints::decode({reinterpret_cast<const char*>(data), size});
  if (!names) {
    REQUIRE(names.error().code == EINVAL && !names.error().message.empty());
    return 0;
  }
  REQUIRE(names->size() <= checkpoints::kMaxNames);
  for (std::size_t i = 0; i < names->size(); ++i) {
    const checkpoints::Named& one = (*names)[i];
    REQUIRE(checkpoints::check_name(one.name));
    REQUIRE(!cbt::Checkpoint::parse(one.name));
    // Not with all others, where there are many: the fuzzer wants to go on.
    for (std::size_t other = i + 1; other < names->size() && other < i + 9;
         ++other)
      REQUIRE(!collide(one, (*names)[other]));
  }
  const auto text = checkpoints::encode(*names);
  REQUIRE(text);
  const auto again = checkpoints::decode(*text);
  REQUIRE(again && *again == *names);
  return 0;
}
