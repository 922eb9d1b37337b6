// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cbt/map.h"

#include <cerrno>
#include <random>

#include "base/uuid.h"
#include "result.h"

using namespace blksnap;
using cbt::ChangeMap;
using cbt::Checkpoint;
using cbt::History;

namespace {

constexpr char kText[] = "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e";

Checkpoint at(std::uint8_t number) {
  return {*parse_uuid(kText), number};
}

History history(std::uint8_t number, std::vector<std::uint64_t> instants = {}) {
  return {*parse_uuid(kText), number, std::move(instants)};
}

}  // namespace

TEST_CASE("checkpoint: one spelling") {
  const std::string text = std::string(kText) + ".7";
  const auto checkpoint = Checkpoint::parse(text);
  REQUIRE(why(checkpoint) == "");
  CHECK(*checkpoint == at(7));
  CHECK(checkpoint->to_string() == text);
  CHECK(why(Checkpoint::parse(std::string(kText) + ".0")) == "");
  CHECK(why(Checkpoint::parse(std::string(kText) + ".255")) == "");

  const auto with_instant = Checkpoint::parse(text + ".04f2a61be390d85c");
  REQUIRE(why(with_instant) == "");
  CHECK(*with_instant == Checkpoint{*parse_uuid(kText), 7, 0x04f2a61be390d85c});
  CHECK(with_instant->to_string() == text + ".04f2a61be390d85c");

  for (const std::string& bad :
       {std::string(),
        std::string("7"),
        std::string(kText),
        text + ".",
        text + ".4f2a61be390d85c",
        text + ".004f2a61be390d85c",
        text + ".04F2A61be390d85c",
        text + ".0x4f2a61be390d85",
        text + ".-4f2a61be390d85c",
        text + ".0000000000000000",
        text + ".04f2a61be390d85c.",
        text + ".04f2a61be390d85g",
        std::string(kText) + ".",
        std::string(kText) + ".256",
        std::string(kText) + ".07",
        std::string(kText) + ".+7",
        std::string(kText) + ".-1",
        std::string(kText) + ".7 ",
        std::string(kText) + ".7.7",
        " " + text,
        std::string("3F0C6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.7"),
        "{" + std::string(kText) + "}.7",
        std::string(kText) + ".7\n"}) {
    CAPTURE(bad);
    const auto parsed = Checkpoint::parse(bad);
    CHECK(why(parsed) ==
          "'" + bad +
              "' is not a checkpoint: want GENERATION.NUMBER.INSTANT "
              "or GENERATION.NUMBER");
    CHECK(code(parsed) == EINVAL);
  }
}

TEST_CASE("map: its size is that of the device") {
  const auto make = [](std::uint64_t capacity, std::uint32_t block,
                       std::size_t count) {
    return why(ChangeMap::make(capacity, block, history(1),
                               std::vector<std::uint8_t>(count)));
  };
  CHECK(make(1, 512, 1) == "");
  CHECK(make(512, 512, 1) == "");
  CHECK(make(513, 512, 2) == "");
  CHECK(make(200000, 65536, 4) == "");
  CHECK(
      make(200000, 65536, 3) ==
      "a change map of 3 blocks, but a device of 200000 bytes has 4 blocks of "
      "65536");
  CHECK(make(200000, 65536, 5) != "");
  CHECK(make(200000, 65535, 4) ==
        "a change map with blocks of 65535 bytes, which is no power of two");
  CHECK(make(200000, 0, 4) != "");
  CHECK(make(0, 512, 0) == "a change map of a device without bytes");
  CHECK(make(~std::uint64_t{0}, 1u << 31, 0) != "");
}

TEST_CASE("map: what it answers") {
  const auto map = ChangeMap::make(512, 512, history(5), {3});
  REQUIRE(why(map) == "");
  CHECK(map->answers(at(0)));
  CHECK(map->answers(at(5)));
  CHECK_FALSE(map->answers(at(6)));
  Checkpoint other = at(1);
  other.generation.data[0] ^= 1;
  CHECK_FALSE(map->answers(other));
}

TEST_CASE("checkpoint: one take by two names") {
  const Checkpoint known{*parse_uuid(kText), 7, 5};
  CHECK(known.may_be(at(7)));
  CHECK(at(7).may_be(known));
  CHECK(known.may_be(known));
  CHECK_FALSE(known.may_be(at(6)));
  CHECK_FALSE(known.may_be({known.generation, 7, 6}));
  CHECK_FALSE(known.may_be(
      {*parse_uuid("4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e"), 7, 5}));
}

TEST_CASE("map: of takes with one number, that of its own history") {
  const auto map = ChangeMap::make(512, 512, history(3, {11, 12, 13}), {3});
  REQUIRE(why(map) == "");
  CHECK(map->taken() == Checkpoint{*parse_uuid(kText), 3, 13});
  const auto with = [](std::uint8_t number, std::uint64_t instant) {
    return Checkpoint{*parse_uuid(kText), number, instant};
  };
  CHECK(map->find(with(2, 12)) == with(2, 12));
  CHECK(map->find(with(2, 0)) == with(2, 12));
  CHECK(map->find(with(3, 13)) == with(3, 13));
  CHECK(map->find(with(0, 0)) == with(0, 0));
  CHECK(map->find(with(2, 13)) == std::nullopt);
  CHECK(map->find(with(0, 11)) == std::nullopt);
  CHECK(map->find(with(4, 14)) == std::nullopt);
  CHECK(map->find(with(4, 0)) == std::nullopt);

  // Whether it is the same take is not known: not the answer.
  const auto without = ChangeMap::make(512, 512, history(3), {3});
  CHECK(without->find(with(2, 12)) == std::nullopt);
  CHECK(without->find(with(2, 0)) == with(2, 0));

  CHECK(why(ChangeMap::make(512, 512, history(3, {11, 12}), {3})) ==
        "a change map of take 3 with the instants of 2");
  CHECK(why(ChangeMap::make(512, 512, history(2, {11, 0}), {3})) ==
        "a change map with a take whose instant is 0");
}

TEST_CASE("checkpoint: why a history does not have it") {
  const History known = history(3, {0x11, 0x12, 0x13});
  const auto reason = [](const History& takes, const Checkpoint& wanted) {
    return takes.why_not(wanted, wanted.to_string(), "/dev/vdb");
  };
  const Checkpoint old{*parse_uuid(kText), 2, 0x99};
  CHECK(
      reason(known, old) ==
      "checkpoint " + old.to_string() +
          " is of another history: this take of /dev/vdb is " +
          at(2).to_string() +
          ".0000000000000012, as after the machine was put back to an earlier "
          "state: take a full backup");
  CHECK(
      reason(history(3), old) ==
      "checkpoint " + old.to_string() +
          " has an instant, and those of /dev/vdb's takes are not known: take "
          "a full backup");
}

TEST_CASE("map: before the first take nothing is known") {
  const auto map = ChangeMap::make(512, 512, history(0), {0});
  REQUIRE(why(map) == "");
  CHECK_FALSE(map->answers(at(0)));
}

TEST_CASE("map: random maps agree with a look at every byte") {
  std::mt19937 random(2);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  for (int round = 0; round < 3000; ++round) {
    const std::uint32_t block = 512u << below(4);
    // Some have summaries of summaries of summaries.
    const bool large = round % 100 == 0;
    const std::uint64_t capacity = 1 + below(block * (large ? 600'000 : 700));
    std::vector<std::uint8_t> bytes((capacity - 1) / block + 1);
    // Runs of many lengths, so that groups begin and end anywhere.
    for (std::size_t i = 0; i < bytes.size();) {
      const auto value = static_cast<std::uint8_t>(below(6));
      const std::uint64_t longest = large ? 50'000 : round % 2 ? 200 : 3;
      for (std::uint64_t n = 1 + below(longest); n > 0 && i < bytes.size();
           --n) {
        bytes[i++] = value;
      }
    }
    const auto map = ChangeMap::make(capacity, block, history(5), bytes);
    REQUIRE(why(map) == "");
    const std::uint64_t offset = below(capacity);
    const ByteRange range{offset, 1 + below(capacity - offset)};
    const auto since = static_cast<std::uint8_t>(below(6));
    const std::size_t max = 1 + below(20);
    ExtentBuilder out(range, max);
    map->changed_since(since, out, {.changed = 7, .unchanged = 9});

    ExtentBuilder model(range, max);
    for (std::uint64_t i = 0; i < bytes.size(); ++i) {
      if (!model.add((i + 1) * block, bytes[i] > since ? 7 : 9)) {
        if (model.complete() || (i + 1) * block > range.offset) break;
      }
    }
    REQUIRE(out.extents() == model.extents());
    REQUIRE(out.covered_end() == model.covered_end());
  }
}

TEST_CASE("map: values of a dirty bitmap are 0 and 1") {
  const auto map =
      ChangeMap::make(4 * 512 - 1, 512, history(255), {0, 1, 254, 255});
  REQUIRE(why(map) == "");
  const auto since = [&](std::uint8_t number) {
    ExtentBuilder out({0, map->capacity()}, 100);
    map->changed_since(number, out);
    return out.extents();
  };
  using Extents = std::vector<Extent>;
  CHECK(since(0) == Extents{{512, 0}, {3 * 512 - 1, 1}});
  CHECK(since(1) == Extents{{1024, 0}, {1023, 1}});
  CHECK(since(254) == Extents{{3 * 512, 0}, {511, 1}});
  CHECK(since(255) == Extents{{4 * 512 - 1, 0}});
}
