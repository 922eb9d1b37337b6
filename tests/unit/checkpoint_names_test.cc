// SPDX-License-Identifier: LGPL-2.1-or-later
#include "checkpoint/names.h"

#include <cerrno>
#include <string>

#include "fake_image.h"
#include "result.h"

using namespace blksnap;
using checkpoints::Named;

namespace {

// The example of core/checkpoint/FORMAT.md.
constexpr char kExample[] = R"({
  "version": 2,
  "checkpoints": [
    {
      "name": "monday",
      "device": "/dev/vdb",
      "checkpoint": "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.7.04f2a61be390d85c",
      "added": "2026-11-22T01:02:03Z"
    },
    {
      "name": "before-upgrade",
      "device": "/dev/dm-0",
      "checkpoint": "9d3e0f57-6a1b-4f51-8f0a-5b0c8f0d7c11.31.c81f6e0394d7a25b",
      "added": "2026-11-22T01:05:00Z"
    }
  ]
}
)";

std::vector<Named> example() {
  return {{"monday",
           "/dev/vdb",
           {*parse_uuid(kGeneration), 7, 0x04f2a61be390d85c},
           1795309323},
          {"before-upgrade",
           "/dev/dm-0",
           {*parse_uuid("9d3e0f57-6a1b-4f51-8f0a-5b0c8f0d7c11"), 31,
            0xc81f6e0394d7a25b},
           1795309500}};
}

// The example with one piece of it replaced.
std::string with(const std::string& piece, const std::string& instead) {
  std::string text = kExample;
  const auto at = text.find(piece);
  REQUIRE(at != text.npos);
  return text.replace(at, piece.size(), instead);
}

std::string refusal(const std::string& text) {
  const auto names = checkpoints::decode(text);
  if (!names) CHECK(code(names) == EINVAL);
  return why(names);
}

}  // namespace

TEST_CASE("checkpoint names: what may be one") {
  for (const char* good :
       {"monday", "7", "a.b", ".", "_", "x-", "Backup-1", "backup",
        "backup_vdb", "2026-11-22.3", "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e"}) {
    CAPTURE(good);
    CHECK(why(checkpoints::check_name(good)) == "");
  }
  CHECK(why(checkpoints::check_name(std::string(64, 'x'))) == "");

  const std::string canonical = std::string(kGeneration) + ".7";
  const std::pair<std::string, const char*> bad[] = {
      {"", "it is empty"},
      {std::string(65, 'x'), "it is longer than 64 bytes"},
      {"a b", "only letters, digits, '-', '_' and '.' may be in it"},
      {"a/b", "only letters, digits, '-', '_' and '.' may be in it"},
      {"vdb@x", "only letters, digits, '-', '_' and '.' may be in it"},
      {"x+changed", "only letters, digits, '-', '_' and '.' may be in it"},
      {"a:b", "only letters, digits, '-', '_' and '.' may be in it"},
      {"caf\xc3\xa9", "only letters, digits, '-', '_' and '.' may be in it"},
      {std::string("a\0b", 3),
       "only letters, digits, '-', '_' and '.' may be in it"},
      {"-x", "it begins with '-', as options do"},
      {"backup-vdb", "servers call a bitmap 'backup-EXPORT' by themselves"},
      {canonical, "it looks like GENERATION.NUMBER, which names one already"},
      {"3F0C6F0E-1C4B-4D0A-9A52-0F7C6F5F4F0E.7",
       "it looks like GENERATION.NUMBER, which names one already"},
      {std::string(kGeneration) + ".007",
       "it looks like GENERATION.NUMBER, which names one already"},
      {canonical + ".04f2a61be390d85c",
       "it looks like GENERATION.NUMBER, which names one already"},
      {std::string(kGeneration) + ".256",
       "it looks like GENERATION.NUMBER, which names one already"},
  };
  for (const auto& [name, reason] : bad) {
    const auto checked = checkpoints::check_name(name);
    CHECK(why(checked) ==
          "'" + name + "' cannot be the name of a checkpoint: " + reason);
    CHECK(code(checked) == EINVAL);
  }
}

TEST_CASE("checkpoint names: the documented example") {
  const auto names = checkpoints::decode(kExample);
  REQUIRE(why(names) == "");
  CHECK(*names == example());
  const auto text = checkpoints::encode(example());
  REQUIRE(why(text) == "");
  CHECK(*text == kExample);
}

TEST_CASE("checkpoint names: of version 1, which has no instants") {
  const auto names = checkpoints::decode(R"({"version": 1, "checkpoints": [
    {"name": "monday", "device": "/dev/vdb", "added": "2026-11-22T01:02:03Z",
     "checkpoint": "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.7"}]})");
  REQUIRE(why(names) == "");
  REQUIRE(names->size() == 1);
  CHECK(names->front().at == checkpoint(7));
}

TEST_CASE("checkpoint names: none") {
  const auto text = checkpoints::encode({});
  REQUIRE(why(text) == "");
  const auto names = checkpoints::decode(*text);
  REQUIRE(why(names) == "");
  CHECK(names->empty());
}

TEST_CASE("checkpoint names: each damage has its sentence") {
  CHECK(refusal("").starts_with("parse error at line 1, column 1:"));
  CHECK(refusal(with("\"monday\",", "\"monday\""))
            .starts_with("parse error at line 6, column 14:"));
  // Cut short, wherever it is.
  const std::string whole = kExample;
  for (std::size_t length = 0; length + 2 < whole.size(); ++length) {
    CAPTURE(length);
    CHECK(refusal(whole.substr(0, length)).starts_with("parse error at line"));
  }
  CHECK(refusal("[]") == "not an object");
  CHECK(refusal("{}") == "\"version\" is not a number");
  CHECK(refusal(with("2,", "\"2\",")) == "\"version\" is not a number");
  CHECK(refusal(with("2,", "3, \"new\": 1,")) ==
        "of version 3, and only versions 1 and 2 are known here");
  CHECK(refusal(with("2,", "2, \"new\": 1,")) == "unknown member \"new\"");
  CHECK(refusal(R"({"version": 1})") == "\"checkpoints\" is not an array");
  CHECK(refusal(R"({"version": 1, "checkpoints": {}})") ==
        "\"checkpoints\" is not an array");
  CHECK(refusal(R"({"version": 1, "checkpoints": [7]})") ==
        "\"checkpoints\"[0]: not an object");
  CHECK(refusal(with("\"name\": \"monday\",", "")) ==
        "\"checkpoints\"[0]: \"name\" is missing");
  CHECK(refusal(with("\"monday\"", "7")) ==
        "\"checkpoints\"[0]: \"name\" is not a string");
  CHECK(refusal(with("monday", "backup-x"))
            .starts_with("\"checkpoints\"[0]: 'backup-x' cannot be"));
  CHECK(refusal(with("\"/dev/vdb\"", "null")) ==
        "\"checkpoints\"[0]: \"device\" is not a string");
  CHECK(refusal(with("c11.31", "c11.256"))
            .starts_with("\"checkpoints\"[1]: '9d3e0f57"));
  CHECK(refusal(with("\"added\": \"2026-11-22T01:05:00Z\"", "\"at\": 1")) ==
        "\"checkpoints\"[1]: unknown member \"at\"");
  CHECK(refusal(with("01:05:00Z", "01:05:00")) ==
        "\"checkpoints\"[1]: \"added\": '2026-11-22T01:05:00' is no time like "
        "1970-01-01T00:00:00Z");
  CHECK(refusal(with("11-22", "11-31"))
            .starts_with("\"checkpoints\"[0]: \"added\": '2026-11-31"));
  CHECK(refusal(with("2026-11-22T01:02:03Z", " 2026-11-22T01:02:03Z")) != "");
}

TEST_CASE("checkpoint names: one name means one thing") {
  const auto names = example();
  Named other = names[0];
  CHECK(collide(names[0], other));
  other.device = "/dev/vdc";  // the same history, by another path
  CHECK(collide(names[0], other));
  other.at.generation = names[1].at.generation;
  CHECK_FALSE(collide(names[0], other));
  other.device = names[0].device;  // what was there before the last reboot
  CHECK(collide(names[0], other));
  other.name = "tuesday";
  CHECK_FALSE(collide(names[0], other));

  const std::string twice =
      "\"checkpoints\"[1]: the name 'monday' is there twice for one device";
  auto again = with("before-upgrade", "monday");
  CHECK(refusal(again) == "");
  CHECK(refusal(again.replace(again.find("/dev/dm-0"), 9, "/dev/vdb")) ==
        twice);
  again = with("before-upgrade", "monday");
  CHECK(
      refusal(again.replace(again.find("9d3e0f57-6a1b-4f51-8f0a-5b0c8f0d7c11"),
                            36, kGeneration)) == twice);
}

TEST_CASE("checkpoint names: limits") {
  std::vector<Named> many;
  for (int i = 0; i < 256; ++i)
    many.push_back({"n" + std::to_string(i), "/dev/vdb", checkpoint(1), 0});
  auto text = checkpoints::encode(many);
  REQUIRE(why(text) == "");
  CHECK(why(checkpoints::decode(*text)) == "");
  const auto end = text->rfind("\n  ]");
  text->insert(end, ", 7");
  CHECK(refusal(*text) == "more than 256 checkpoints");
  many.push_back(many.front());
  CHECK(code(checkpoints::encode(many)) == EINVAL);

  CHECK(code(checkpoints::encode({{"x", "/dev/\xff", checkpoint(1), 0}})) ==
        EINVAL);
}
