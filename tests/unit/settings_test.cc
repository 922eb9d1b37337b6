// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/settings.h"

#include <cerrno>
#include <utility>

#include "result.h"

using namespace blksnap;

namespace {

constexpr char kUuid[] = "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e";

using Words = std::vector<std::pair<const char*, const char*>>;

// What is wrong with the words, taken one by one and then together.
std::string trouble(const Words& words) {
  Settings settings;
  for (const auto& [key, value] : words) {
    if (const auto set = settings.set(key, value); !set) {
      CHECK(code(set) == EINVAL);
      return why(set);
    }
  }
  const auto fits = settings.check();
  if (!fits) CHECK(code(fits) == EINVAL);
  return why(fits);
}

}  // namespace

TEST_CASE("sizes") {
  const std::pair<const char*, std::uint64_t> good[] = {
      {"0", 0},
      {"1", 1},
      {"4096", 4096},
      {"8s", 4096},
      {"64k", 65536},
      {"64K", 65536},
      {"512M", 512ull << 20},
      {"1G", 1ull << 30},
      {"16T", 16ull << 40},
      {"18446744073709551615", ~0ull},
      {"16777215T", 16777215ull << 40},
  };
  for (const auto& [text, bytes] : good) {
    const auto size = parse_size(text);
    REQUIRE(why(size) == "");
    CHECK(*size == bytes);
  }
  for (const char* text : {"", "k", "-1", "+1", " 1", "1 ", "1kk", "1b", "1g",
                           "0x10", "1.5G", "1\nk"}) {
    CAPTURE(text);
    CHECK(why(parse_size(text)) ==
          "'" + std::string(text) +
              "' is not a size: want a number of bytes, or one with k, M, G, T "
              "or s (sectors of 512)");
  }
  for (const char* text : {"18446744073709551616", "16777216T",
                           "36028797018963968s", "99999999999999999999G"}) {
    CAPTURE(text);
    CHECK(why(parse_size(text)) ==
          "'" + std::string(text) + "' is not a size: it is too large");
  }
}

TEST_CASE("settings that fit together") {
  const Words good[] = {
      {{"file", "disk.raw"}},
      {{"file", "disk.raw"}, {"read-write", "true"}},
      {{"file", "disk.raw"}, {"read_write", "ON"}, {"name", "x"}},
      {{"file", "disk.raw"}, {"cbt", "disk.cbt"}, {"read-write", "no"}},
      {{"file", "disk.raw"}, {"cbt", "disk.cbt"}, {"checkpoints", "names"}},
      {{"device", "/dev/vdb"}, {"diff", "/var/tmp"}, {"limit", "8G"}},
      {{"snapshot", kUuid}, {"checkpoints", "names"}},
      {{"device", "/dev/vdb"},
       {"device", "/dev/vdc"},
       {"diff", "/var/tmp"},
       {"limit", "8G"}},
      {{"device", "/dev/vdb"},
       {"diff", "/var/tmp"},
       {"limit", "8G"},
       {"name", "x"}},
      {{"snapshot", kUuid}},
      {{"snapshot", kUuid}, {"name", "x"}},
  };
  for (const Words& words : good) CHECK(trouble(words) == "");
}

TEST_CASE("settings that do not") {
  const std::pair<Words, const char*> bad[] = {
      {{}, "nothing to serve: give device=, snapshot= or file="},
      {{{"name", "x"}}, "nothing to serve: give device=, snapshot= or file="},
      {{{"file", "a"}, {"snapshot", kUuid}},
       "device=, snapshot= and file= exclude each other"},
      {{{"file", "a"}, {"device", "/dev/vdb"}},
       "device=, snapshot= and file= exclude each other"},
      {{{"device", "/dev/vdb"}, {"limit", "1G"}},
       "device= needs diff=: a file, directory or block device to keep what "
       "the "
       "snapshot displaces"},
      {{{"device", "/dev/vdb"}, {"diff", "/tmp"}},
       "device= needs limit=: how much space diff= may take"},
      {{{"file", "a"}, {"diff", "/tmp"}}, "diff= goes with device= only"},
      {{{"snapshot", kUuid}, {"limit", "1G"}}, "limit= goes with device= only"},
      {{{"snapshot", kUuid}, {"cbt", "m"}}, "cbt= goes with file= only"},
      {{{"snapshot", kUuid}, {"read-write", "1"}},
       "read-write= goes with file= only"},
      {{{"file", "a"}, {"cbt", "m"}, {"read-write", "1"}},
       "read-write= and cbt= exclude each other: writing would make the saved "
       "change map untrue"},
      {{{"file", "a"}, {"checkpoints", "c"}},
       "checkpoints= needs cbt= beside file=: without a change map no "
       "checkpoint means anything"},
      {{{"checkpoints", "a"}, {"checkpoints", "b"}},
       "checkpoints= is given twice"},
      {{{"device", "a"},
        {"device", "b"},
        {"diff", "d"},
        {"limit", "1G"},
        {"name", "x"}},
       "name= is for a single export, but device= is given 2 times"},
      {{{"bitmaps", "unix:x"}}, "unknown setting 'bitmaps='"},
      {{{"", "x"}}, "unknown setting '='"},
      {{{"file", ""}}, "file= needs a value"},
      {{{"file", "a"}, {"file", "b"}}, "file= is given twice"},
      {{{"device", "a"}, {"device", "a"}}, "device=a is given twice"},
      {{{"limit", "1G"}, {"limit", "2G"}}, "limit= is given twice"},
      {{{"limit", "511"}}, "limit= is less than a sector"},
      {{{"limit", "lots"}},
       "limit=: 'lots' is not a size: want a number of bytes, or one with k, "
       "M, "
       "G, T or s (sectors of 512)"},
      {{{"snapshot", "7"}}, "snapshot=: '7' is not a UUID"},
      {{{"read-write", "maybe"}}, "read-write=maybe: want true or false"},
      {{{"name", "a\tb"}}, "name= has a control character in it"},
  };
  for (const auto& [words, sentence] : bad) CHECK(trouble(words) == sentence);
}

TEST_CASE("settings: text that would be cut elsewhere") {
  Settings settings;
  CHECK(why(settings.set("file", std::string_view("a\0b", 3))) ==
        "file= has a NUL character in it");
  CHECK(why(settings.set("name", std::string(1025, 'x'))) ==
        "name= is longer than 1024 bytes");
  CHECK(why(settings.set("name", std::string(1024, 'x'))) == "");
}
