// SPDX-License-Identifier: LGPL-2.1-or-later
// What a repository is made of, without any I/O but that of tables.
#include <doctest/doctest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>

#include "backup/block_digester.h"
#include "backup/prepare.h"
#include "backup/retention.h"
#include "base/utc.h"
#include "copy/rate_limit.h"
#include "qemu/qcow2_header.h"
#include "repository/catalogue.h"
#include "repository/digest_table.h"
#include "repository/listing.h"
#include "repository/manifest.h"
#include "repository/names.h"
#include "repository/resume.h"

using namespace blksnap;
using namespace blksnap::backup;
using namespace blksnap::repo;

namespace {

PointName name(const char* text) {
  return *PointName::parse(text);
}

DiskRecord record(const char* disk, const char* checkpoint) {
  DiskRecord made;
  made.name = disk;
  made.image = made.name + ".qcow2";
  made.digests = made.name + ".sums";
  made.size = 1 << 20;
  made.checkpoint = checkpoint;
  return made;
}

Point point(const char* text, std::vector<DiskRecord> disks) {
  return {name(text), Manifest{"id", "t", "a", "b", std::move(disks)}};
}

template <class T>
int code(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

class TempDir {
 public:
  TempDir() {
    char made[] = "/tmp/blksnap-backup-XXXXXX";
    path_ = ::mkdtemp(made);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* file) const { return path_ + "/" + file; }

 private:
  std::string path_;
};

constexpr char kId[] = "0f7a2c9e-5f0e-4b52-9f0b-7c2f4a1d3e55";
constexpr char kCanonical[] = "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.7";

}  // namespace

TEST_CASE("names of points") {
  for (const char* good :
       {"20261122T010203Z", "20261122T010203Z-2", "20261122T010203Z-17"})
    CHECK(PointName::parse(good)->text() == good);
  for (const char* bad :
       {"", "20261122T010203", "20261122T010203Z-", "20261122T010203Z-1",
        "20261122T010203Z-0", "20261122T010203Z-02", "20261122T010203Z-2x",
        "20261122T010203Z-99999999999", "20261122T010203Z.partial",
        "2026-122T010203Z", "20261122t010203Z", "x20261122T010203Z"})
    CHECK_MESSAGE(!PointName::parse(bad), bad);
  CHECK(name("20261122T010203Z") < name("20261122T010203Z-2"));
  CHECK(name("20261122T010203Z-9") < name("20261122T010203Z-10"));
  CHECK(name("20261122T010203Z-10") < name("20261122T010204Z"));
}

TEST_CASE("a new point is later than all others, whatever the clock says") {
  constexpr std::time_t kNow = 1795309323;  // 2026-11-22T01:02:03Z
  CHECK(PointName::next(kNow, {}).text() == "20261122T010203Z");
  CHECK(to_rfc3339(kNow) == "2026-11-22T01:02:03Z");
  CHECK(PointName::next(kNow, name("20261122T010202Z-5")).text() ==
        "20261122T010203Z");
  CHECK(PointName::next(kNow, name("20261122T010203Z")).text() ==
        "20261122T010203Z-2");
  CHECK(PointName::next(kNow, name("20991231T235959Z-999999")).text() ==
        "21000101T000000Z");
  CHECK_FALSE(PointName::parse("20261122T010203Z-1000000"));
  CHECK(PointName::next(kNow, name("20991122T010203Z-2")).text() ==
        "20991122T010203Z-3");
}

TEST_CASE("names of disks lead nowhere else") {
  for (const char* good : {"vdb", "a.b_c-d", "0"}) CHECK(is_disk_name(good));
  for (const char* bad : {"", ".", "..", ".x", "-x", "a/b", "a b", "a,b", "a:b",
                          "\xc3\xa4", "vdb\n"})
    CHECK_MESSAGE(!is_disk_name(bad), bad);
  CHECK(is_disk_name(std::string(64, 'a')));
  CHECK(!is_disk_name(std::string(65, 'a')));
}

TEST_CASE("what is written down of a URI") {
  CHECK(without_secrets("nbds://bob@host:1/vdb?tls-psk-file=/etc/key") ==
        "nbds://host:1/vdb");
  CHECK(without_secrets("nbd+unix:///vdb?socket=/run/x&tls-certificates=y") ==
        "nbd+unix:///vdb?socket=/run/x");
  CHECK(without_secrets("nbd://a:b@h/p@q") == "nbd://h/p@q");
  CHECK(without_secrets("nbd://[::1]/x") == "nbd://[::1]/x");
}

TEST_CASE("a manifest survives being written") {
  const PointName own = name("20261123T010203Z");
  Manifest manifest{kId, "blksnap 1", "a", "b", {record("vdb", kCanonical)}};
  manifest.disks[0].why = "quotes \" and \\";
  manifest.disks.push_back(record("vdc", ""));
  manifest.disks[1].parent = {name("20261122T010203Z-2"), kId, "aa"};
  const auto read = parse_manifest(to_json(own, manifest), own);
  REQUIRE(read.has_value());
  CHECK(*read == manifest);
}

TEST_CASE("a manifest that leads out of its folder, or is none") {
  const PointName own = name("20261122T010203Z");
  const Manifest good{kId, "t", "a", "b", {record("vdb", "")}};
  REQUIRE(parse_manifest(to_json(own, good), own).has_value());
  const auto refused = [&](auto change) {
    Manifest bad = good;
    change(bad.disks[0]);
    return !parse_manifest(to_json(own, bad), own).has_value();
  };
  CHECK(refused([](DiskRecord& disk) { disk.name = "../vdb"; }));
  CHECK(refused([](DiskRecord& disk) { disk.image = "../vdb.qcow2"; }));
  CHECK(refused([](DiskRecord& disk) { disk.digests = "/etc/passwd"; }));
  CHECK(refused([](DiskRecord& disk) { disk.size = ~std::uint64_t{0}; }));
  Manifest twice = good;
  twice.disks.push_back(good.disks[0]);
  CHECK(!parse_manifest(to_json(own, twice), own).has_value());
  for (const char* bad : {"", "{", "[]", "{}", "{\"format\": 2}",
                          "{\"format\": 3}", "{\"format\": 1, \"disks\": 3}"})
    CHECK_MESSAGE(!parse_manifest(bad, own).has_value(), bad);
}

TEST_CASE("no byte of a manifest or a catalogue can change") {
  const PointName own = name("20261122T010203Z");
  Manifest manifest{kId, "t", "a", "b", {record("vdb", kCanonical)}};
  const std::string text = to_json(own, manifest);
  CHECK(parse_manifest(text, name("20261122T010204Z")).error().message ==
        "it is the manifest of point 20261122T010203Z");
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] ^= 1;
    CHECK_MESSAGE(!parse_manifest(changed, own).has_value(), i);
  }
  CHECK(code(parse_manifest(text + " ", own)) == EILSEQ);

  Catalogue catalogue;
  catalogue.points = {{own, kId}, {name("20261122T010203Z-2"), "x"}};
  const std::string list = to_json(catalogue);
  CHECK(parse_catalogue(list)->points == catalogue.points);
  for (std::size_t i = 0; i < list.size(); ++i) {
    std::string changed = list;
    changed[i] ^= 1;
    const auto parsed = parse_catalogue(changed);
    CHECK_MESSAGE((!parsed || (parsed->damage && parsed->points.empty())), i);
  }
  CHECK(parse_catalogue("{\"format\": 2}")->damage);
  CHECK(parse_catalogue("{\"format\": 1}")->format == 1);
  for (const char* bad : {"", "{", "[]", "2", "{}", "{\"format\": 3}"})
    CHECK_MESSAGE(!parse_catalogue(bad).has_value(), bad);
}

TEST_CASE("a chain stands on the points that it was made on") {
  Listing listing;
  listing.points.push_back(point("20260101T000000Z", {record("vdb", "1")}));
  listing.points.push_back(point("20260102T000000Z", {record("vdb", "2")}));
  Parent& link = listing.points[1].manifest.disks[0].parent.emplace(
      Parent{name("20260101T000000Z"), "id", ""});
  const auto chain = [&] { return listing.chain(listing.points[1], "vdb"); };
  REQUIRE(chain().has_value());
  CHECK(chain()->size() == 2);
  link.id = "other";
  CHECK(code(chain()) == EILSEQ);
  link = {name("20260101T000000Z"), "id", "aa"};
  CHECK(code(chain()) == EILSEQ);
  link.id.clear();  // of the first format
  CHECK(chain().has_value());
  link.point = name("20260101T000000Z-2");
  CHECK(code(chain()) == ENOENT);
  link.point = name("20260102T000000Z");  // itself
  CHECK(code(chain()) == ENOENT);
}

namespace {

std::string big(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i)
    text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

// A header of version 3 with a backing file, its format and a data file, by the
// offsets of the specification.
std::string qcow2_header() {
  const std::string name = "../a/b.qcow2";
  const std::string extensions =
      big(0xe2792aca, 4) + big(5, 4) + std::string("qcow2\0\0\0", 8) +
      big(0x6803f857, 4) + big(0, 4) +  // one without data, of no interest
      big(0x44415441, 4) + big(8, 4) + "data.raw" + big(0, 8);
  return "QFI\xfb" + big(3, 4) + big(104 + extensions.size(), 8) +
         big(name.size(), 4) + big(16, 4) + big(6291456, 8) +
         std::string(40, '\0') + big(4, 8) + std::string(20, '\0') +
         big(104, 4) + extensions + name;
}

}  // namespace

TEST_CASE("the header of a qcow2 image, and what is none") {
  const TempDir dir;
  const std::string path = dir / "image";
  const auto read = [&](const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    return qemu::read_qcow2_header(path);
  };
  const std::string good = qcow2_header();
  const auto header = read(good);
  REQUIRE(header.has_value());
  CHECK(header->size == 6291456);
  CHECK(header->backing == "../a/b.qcow2");
  CHECK(header->backing_format == "qcow2");
  CHECK(header->external_data);
  CHECK(header->data_file == "data.raw");
  CHECK(read(good + std::string(100'000, 'x'))->backing == header->backing);
  for (std::size_t length = 0; length < good.size(); ++length)
    CHECK_MESSAGE(code(read(good.substr(0, length))) == EINVAL, length);
  // Whatever a byte says, nothing outside of the text is read.
  for (std::size_t i = 0; i < good.size(); ++i)
    for (const char change : {'\x01', '\x80', '\xff'}) {
      std::string bad = good;
      bad[i] ^= change;
      const auto changed = read(bad);
      CHECK((!changed || changed->backing.size() <= good.size()));
    }
  CHECK(code(qemu::read_qcow2_header(dir / "nowhere")) == ENOENT);
  CHECK(code(qemu::read_qcow2_header("/dev/zero")) == EINVAL);
}

TEST_CASE("a broken backup is taken up on the very same parent alone") {
  const Parent parent{name("20260101T000000Z"), kId, "aa"};
  const std::vector<Undertaking> before = {{"vdb", parent, "1", "2", 1 << 20}};
  const std::string words = resume_words(before, false);
  REQUIRE(words != "");
  CHECK(resume_words(before, false) == words);
  CHECK(resume_words(before, true) != words);
  const auto differs = [&](auto change) {
    std::vector<Undertaking> now = before;
    change(now[0]);
    return resume_words(now, false) != words;
  };
  CHECK(differs([](Undertaking& disk) { disk.parent->id = "other"; }));
  CHECK(differs([](Undertaking& disk) { disk.parent.reset(); }));
  CHECK(differs([](Undertaking& disk) { disk.since = "0"; }));
  CHECK(differs([](Undertaking& disk) { disk.checkpoint = "3"; }));
  CHECK(differs([](Undertaking& disk) { disk.size *= 2; }));
  CHECK(resume_words({{"vdb", parent, "1", "", 1 << 20}}, false).empty());
}

TEST_CASE("what is asked for") {
  Listing listing;
  BackupRequest request;
  CHECK(wish_for(listing, "vdb", request)->bitmap.empty());
  listing.points.push_back(
      point("20260101T000000Z", {record("vdb", kCanonical)}));
  listing.points.push_back(point("20260102T000000Z", {record("vdb", "two")}));
  listing.points.push_back(point("20260103T000000Z", {record("vdc", "")}));

  // The newest point that has the disk, not the newest of all.
  auto wish = wish_for(listing, "vdb", request);
  CHECK(wish->bitmap == "two");
  CHECK(wish->parent == &listing.points[1]);
  wish = wish_for(listing, "vdc", request);
  CHECK(wish->bitmap.empty());
  CHECK(wish->parent == nullptr);
  CHECK(wish->why_full.find("is not known") != std::string::npos);

  request.since = "two";
  CHECK(wish_for(listing, "vdb", request)->bitmap == "two");
  request.since = "foreign";  // on the user's word
  CHECK(wish_for(listing, "vdb", request)->bitmap == "foreign");
  CHECK(wish_for(listing, "vdc", request)->parent == &listing.points[2]);
  request.since = kCanonical;  // an older point's
  CHECK(!wish_for(listing, "vdb", request).has_value());
  request.since = "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.8";  // nobody's
  CHECK(!wish_for(listing, "vdb", request).has_value());
  request.since.clear();
  request.kind = BackupRequest::kFull;
  CHECK(wish_for(listing, "vdb", request)->parent == nullptr);
}

TEST_CASE("what is asked for where a newer point is not known") {
  Listing listing;
  listing.points.push_back(point("20260101T000000Z", {record("vdb", "one")}));
  listing.points.push_back(
      point("20260102T000000Z", {record("vdc", kCanonical)}));
  const BackupRequest plain;
  BackupRequest since;
  since.since = "two";
  const auto doubtful = [&](const BackupRequest& request) {
    const auto wish = wish_for(listing, "vdb", request);
    REQUIRE(wish.has_value());
    CHECK((wish->parent == nullptr) == wish->bitmap.empty());
    return wish->why_full;
  };
  CHECK(doubtful(plain) == "");
  CHECK(doubtful(since) == "");

  SUBCASE("damaged") {
    listing.damaged.push_back({name("20251231T000000Z"), {EIO, "no manifest"}});
    CHECK(doubtful(plain) == "");
    listing.damaged.push_back({name("20260103T000000Z"), {EIO, "no manifest"}});
    CHECK(doubtful(plain) ==
          "checkpoint one may be that of a newer point than 20260101T000000Z: "
          "point 20260103T000000Z cannot be read: no manifest");
    CHECK(doubtful(since).starts_with("checkpoint two may be that of a newer"));
    // A canonical name belongs to one take.
    CHECK(wish_for(listing, "vdc", plain)->bitmap == kCanonical);
  }
  SUBCASE("being removed") {
    listing.removed.push_back(point("20260104T000000Z", {record("vdc", "")}));
    CHECK(doubtful(plain) == "");
    listing.removed.push_back(point("20260103T000000Z", {record("vdb", "x")}));
    CHECK(doubtful(plain).ends_with("point 20260103T000000Z is being removed"));
  }
}

TEST_CASE("tables fill in what they do not have from their parents") {
  const TempDir folder;
  const Blocks blocks(10 * kBlock + 100);
  REQUIRE(blocks.count() == 11);
  CHECK(blocks.range(10) == ByteRange{10 * kBlock, 100});
  CHECK(blocks.zero(0) == blocks.zero(9));
  CHECK(blocks.zero(0) != blocks.zero(10));
  CHECK(blocks.zero(10) == sha256(std::vector<std::byte>(100)));

  std::vector<DigestTable> tables;
  const Digest one = sha256(std::vector<std::byte>(1));
  const Digest two = sha256(std::vector<std::byte>(2));
  const Digest three = sha256(std::vector<std::byte>(3));
  tables.push_back(*DigestTable::create(folder / "base", blocks));
  const Digest base[] = {one, two};
  REQUIRE(tables[0].put(1, base).has_value());
  tables.push_back(*DigestTable::create(folder / "top", blocks));
  const Digest top[] = {three, blocks.zero(3)};
  REQUIRE(tables[1].put(2, top).has_value());
  CHECK(!DigestTable::create(folder / "top", blocks).has_value());
  CHECK(!DigestTable::open(folder / "top", Blocks(kBlock)).has_value());

  const DigestChain chain(blocks, std::move(tables));
  std::vector<Digest> found(11);
  REQUIRE(chain.resolve(0, found).has_value());
  CHECK(found[0] == blocks.zero(0));
  CHECK(found[1] == one);
  CHECK(found[2] == three);
  CHECK(found[3] == blocks.zero(3));
  CHECK(found[10] == blocks.zero(10));
  CHECK(*chain.content() == sha256(std::as_bytes(std::span(found))));
}

TEST_CASE("blocks that come in pieces are read again, others are not") {
  const Blocks blocks(4 * kBlock + 10);
  std::vector<std::byte> disk(blocks.size());
  for (std::size_t i = 0; i < disk.size(); ++i) disk[i] = std::byte(i * 7);
  std::mutex mutex;
  std::map<std::uint64_t, Digest> got;
  BlockDigester digester(
      blocks, [&](std::uint64_t first, std::span<const Digest> digests) {
        const std::lock_guard lock(mutex);
        for (const Digest& digest : digests) got[first++] = digest;
        return Result<void>();
      });
  std::vector<std::uint64_t> read;
  const auto settle = [&] {
    return digester.settle(
        [&](std::uint64_t offset, std::span<std::byte> buffer) {
          read.push_back(offset / kBlock);
          std::copy_n(disk.begin() + static_cast<std::ptrdiff_t>(offset),
                      buffer.size(), buffer.begin());
          return Result<void>();
        });
  };
  const std::span<const std::byte> all(disk);
  // Half of block 0, all of 1, half of 2; then the last one, which is short.
  const std::size_t half = kBlock / 2;
  REQUIRE(digester.saw(half, all.subspan(half, 2 * kBlock)).has_value());
  REQUIRE(digester.saw(4 * kBlock, all.subspan(4 * kBlock)).has_value());
  REQUIRE(settle().has_value());
  CHECK(read == std::vector<std::uint64_t>{0, 2});
  CHECK(got.size() == 4);
  for (const auto& [index, digest] : got)
    CHECK(digest == sha256(all.subspan(blocks.range(index).offset,
                                       blocks.range(index).length)));
  got.clear();
  read.clear();
  REQUIRE(digester.saw_zeroes({kBlock, 3 * kBlock + 10}).has_value());
  REQUIRE(digester.saw_zeroes({5, 5}).has_value());
  REQUIRE(settle().has_value());
  CHECK(read == std::vector<std::uint64_t>{0});
  CHECK(got.at(3) == blocks.zero(3));
  CHECK(got.at(4) == blocks.zero(4));
}

TEST_CASE("what a sink says ends the copy") {
  const Blocks blocks(kBlock);
  BlockDigester digester(
      blocks, [](std::uint64_t, std::span<const Digest>) -> Result<void> {
        return refuse(EIO, "no");
      });
  // Now, or as soon as somebody asks.
  const auto seen = digester.saw(0, std::vector<std::byte>(kBlock));
  CHECK((!seen.has_value() || !digester.settle({}).has_value()));
}

TEST_CASE("a rate") {
  using copy::RateLimit;
  const RateLimit::Clock::time_point start{std::chrono::hours(1)};
  RateLimit any(0);
  CHECK(any.take(1 << 30, start).count() == 0);
  RateLimit limit(1000);
  std::uint64_t taken = 0;
  for (auto now = start; now < start + std::chrono::seconds(10);
       now += std::chrono::milliseconds(1))
    if (limit.take(100, now).count() == 0) taken += 100;
  CHECK(taken >= 10000);
  CHECK(taken <= 10300);
  CHECK(limit.take(1, start).count() > 0);
}

TEST_CASE("what is worth keeping") {
  const std::vector<PointName> points = {
      name("20241230T230000Z"),  // Monday: the first week of 2025
      name("20251231T120000Z"),  // Wednesday, and the first week of 2026
      name("20260103T120000Z"),  // Saturday
      name("20260104T235959Z"),  // Sunday
      name("20260105T000000Z"),  // Monday: the second week
      name("20260105T003000Z"), name("20260105T003000Z-2"),
      name("20260105T013000Z")};
  using Names = std::vector<std::size_t>;
  std::vector<DatedPoint> dated;
  for (const PointName& point : points)
    dated.push_back({point, point.instant()});
  const auto kept = [&](const Retention& retention) {
    const auto found = worth_keeping(dated, retention);
    Names numbers;
    for (std::size_t i = 0; i < points.size(); ++i)
      if (found.contains(points[i])) numbers.push_back(i);
    return numbers;
  };
  CHECK(kept({}) == Names{});
  CHECK(kept({.last = 1}) == Names{7});
  CHECK(kept({.last = 3}) == Names{5, 6, 7});
  CHECK(kept({.last = 100}) == Names{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(kept({.hourly = 2}) == Names{6, 7});
  CHECK(kept({.daily = 2}) == Names{3, 7});
  CHECK(kept({.daily = 3}) == Names{2, 3, 7});
  CHECK(kept({.weekly = 2}) == Names{3, 7});
  CHECK(kept({.weekly = 3}) == Names{0, 3, 7});
  CHECK(kept({.monthly = 2}) == Names{1, 7});
  CHECK(kept({.yearly = 9}) == Names{0, 1, 7});
  // Each wish by itself; what one of them wants stays.
  CHECK(kept({.last = 2, .daily = 2, .yearly = 2}) == Names{1, 3, 6, 7});
}

TEST_CASE("what is worth keeping where the clock was ahead once") {
  const std::time_t day = 24 * 60 * 60;
  const std::time_t first = name("20261101T120000Z").instant();
  std::vector<DatedPoint> points = {
      {name("20300101T000000Z"), name("20300101T000000Z").instant()}};
  for (int i = 0; i < 5; ++i)
    points.push_back(
        {*PointName::parse("20300101T000000Z-" + std::to_string(i + 2)),
         first + i * day});
  CHECK(worth_keeping(points, {.daily = 30}).size() == 6);
  CHECK(worth_keeping(points, {.monthly = 2}) ==
        std::set<PointName>{points[0].name, points[5].name});
  CHECK(worth_keeping(points, {.last = 2}) ==
        std::set<PointName>{points[4].name, points[5].name});

  // Two days in one second's names, and a clock that went back in between.
  points[3].started = first + 7 * day;
  CHECK(worth_keeping(points, {.daily = 2}) ==
        std::set<PointName>{points[0].name, points[3].name});
}

TEST_CASE("a table takes what its parent has") {
  const TempDir temp;
  const Blocks blocks(40000 * kBlock);
  const auto digest = [](std::uint8_t of) {
    Digest made;
    made.fill(std::byte{of});
    return made;
  };
  const auto parent = DigestTable::create(temp / "parent", blocks);
  const auto child = DigestTable::create(temp / "child", blocks);
  REQUIRE(parent.has_value());
  REQUIRE(child.has_value());
  // Side by side, over one another, and far away.
  const Digest theirs[] = {digest(1), digest(2), digest(3)};
  const Digest own[] = {digest(9)};
  REQUIRE(parent->put(10, theirs).has_value());
  REQUIRE(parent->put(39997, theirs).has_value());
  REQUIRE(child->put(11, own).has_value());
  REQUIRE(child->put(20000, own).has_value());
  REQUIRE(child->adopt(*parent).has_value());
  const auto at = [&](std::uint64_t block) {
    Digest found;
    REQUIRE(child->get(block, std::span(&found, 1)).has_value());
    return found;
  };
  CHECK(at(9) == Digest{});
  CHECK(at(10) == digest(1));
  CHECK(at(11) == digest(9));
  CHECK(at(12) == digest(3));
  CHECK(at(13) == Digest{});
  CHECK(at(20000) == digest(9));
  CHECK(at(39996) == Digest{});
  CHECK(at(39999) == digest(3));
  // What there was nothing of stays a hole.
  CHECK(child->next_entries(1000) > 15000);
}
