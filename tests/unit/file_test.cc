// SPDX-License-Identifier: LGPL-2.1-or-later
#include "io/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "result.h"
#include "temp_dir.h"

using namespace blksnap;

namespace {

std::span<const std::byte> bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string read_text(const io::File& file, std::uint64_t offset,
                      std::size_t length) {
  std::string text(length, '\0');
  REQUIRE(why(file.read(offset, std::as_writable_bytes(std::span(text)))) ==
          "");
  return text;
}

}  // namespace

TEST_CASE("file: read, write, zero, trim") {
  const TempDir dir;
  const std::string path = dir / "disk";
  put(path, std::string(8192, 'x'));
  const auto file = io::open_file(path, {.writable = true});
  REQUIRE(why(file) == "");
  CHECK((*file)->size() == 8192);
  CHECK((*file)->block_size() == 1);
  CHECK((*file)->native_fd() >= 0);
  CHECK((*file)->path() == path);

  CHECK(why((*file)->write(4095, bytes("ab"))) == "");
  CHECK(read_text(**file, 4094, 4) == "xabx");
  CHECK(why((*file)->zero({1, 3}, false, false)) == "");
  CHECK(read_text(**file, 0, 5) == std::string("x\0\0\0x", 5));
  CHECK(why((*file)->zero({4096, 4096}, true, false)) == "");
  CHECK(read_text(**file, 4095, 2) == std::string("a\0", 2));
  CHECK(why((*file)->trim({0, 4096})) == "");
  CHECK(why((*file)->trim({0, 0})) == "");
  CHECK(why((*file)->zero({0, 0}, true, true)) == "");
  CHECK(why((*file)->flush()) == "");
  CHECK(get(path).size() == 8192);
}

namespace {

// Out of the page cache, once it is on disk. False: it stays there (tmpfs).
bool evict(const io::File& file) {
  const int fd = file.native_fd();
  ::fsync(fd);
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  return !file.cached({0, file.size()});
}

}  // namespace

TEST_CASE("file: what is in memory can be had at once") {
  const TempDir dir;
  const std::string content =
      std::string(3'000'000, 'x') + std::string(3'000'000, 'y');
  put(dir / "disk", content);
  const auto file = io::open_file(dir / "disk", {.writable = true});
  REQUIRE(why(file) == "");
  std::string text(content.size(), '\0');
  const auto into = std::as_writable_bytes(std::span(text));

  REQUIRE(why((*file)->read(0, into)) == "");
  CHECK((*file)->cached({0, content.size()}));
  CHECK((*file)->cached({2'999'999, 2}));
  text.assign(content.size(), '\0');
  CHECK((*file)->read_now(0, into));
  CHECK(text == content);
  // Not all of it, and nothing at all.
  CHECK_FALSE((*file)->read_now(1, into));
  CHECK_FALSE((*file)->cached({1, content.size()}));
  CHECK_FALSE((*file)->cached({0, 0}));

  if (!evict(**file)) return;
  CHECK_FALSE((*file)->read_now(0, into));
  REQUIRE(why((*file)->cache({0, content.size()})) == "");
  REQUIRE(why((*file)->read(0, into)) == "");
  CHECK((*file)->cached({0, content.size()}));
}

TEST_CASE("file: large reads past the page cache leave nothing in it") {
  const TempDir dir;
  constexpr std::size_t kSize = 3 << 20;
  std::string content(kSize + 100, '\0');
  for (std::size_t i = 0; i < content.size(); ++i)
    content[i] = static_cast<char>(i * 7 + i / 4096);
  put(dir / "disk", content);
  const auto file =
      io::open_file(dir / "disk", {.writable = true, .bypass_cache = true});
  const auto plain = io::open_file(dir / "disk");
  REQUIRE(why(file) == "");
  REQUIRE(why(plain) == "");
  if (!evict(**plain)) return;

  // A plain file has blocks of 1 byte as far as callers are concerned; only
  // what the disk can do goes directly, and the rest is read all the same.
  std::vector<std::byte> room(kSize + 8192);
  const auto aligned = [&](std::size_t off) {
    const auto at = reinterpret_cast<std::uintptr_t>(room.data());
    return room.data() + (4096 - at % 4096) % 4096 + off;
  };
  for (const std::size_t address : {0, 8}) {
    CAPTURE(address);
    const std::span<std::byte> buffer(aligned(address), kSize - 4096);
    REQUIRE(why((*file)->read(4096, buffer)) == "");
    CHECK(std::memcmp(buffer.data(), content.data() + 4096, buffer.size()) ==
          0);
    CHECK_FALSE((*plain)->cached({4096, 4096}));
    CHECK_FALSE((*file)->read_now(4096, buffer));
    CHECK_FALSE((*file)->cached({4096, 4096}));
  }
  // Odd ones, and small ones, go through the cache.
  CHECK(read_text(**file, 1, kSize) == content.substr(1, kSize));
  CHECK(read_text(**file, 0, content.size()) == content);
  CHECK(read_text(**file, 5, 7) == content.substr(5, 7));
  std::string small(7, '\0');
  CHECK((*file)->read_now(5, std::as_writable_bytes(std::span(small))));
  CHECK(small == content.substr(5, 7));
}

// tmpfs punches holes, but cannot zero a range otherwise.
TEST_CASE("file: zeroes are written where nothing else makes them") {
  const TempDir dir("/dev/shm");
  put(dir / "disk", std::string(3 << 20, 'x'));
  const auto file = io::open_file(dir / "disk", {.writable = true});
  REQUIRE(why(file) == "");
  if (::fallocate((*file)->native_fd(),
                  FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 1) == 0) {
    MESSAGE("/dev/shm is no tmpfs, or can do it by now");
    return;
  }
  CHECK(code((*file)->zero({1, 10}, false, true)) == EOPNOTSUPP);
  CHECK(why((*file)->zero({1, (3 << 20) - 2}, false, false)) == "");
  CHECK(get(dir / "disk") == "x" + std::string((3 << 20) - 2, '\0') + "x");
}

TEST_CASE("file: errors say what, where and why") {
  const TempDir dir;
  const std::string path = dir / "disk";
  put(path, std::string(100, 'x'));
  const auto file = io::open_file(path);
  REQUIRE(why(file) == "");

  std::array<std::byte, 20> buffer;
  const auto beyond = (*file)->read(90, buffer);
  CHECK(why(beyond) == "read " + path + " at 100+10: end of file");
  CHECK(code(beyond) == EIO);
  CHECK(why((*file)->write(0, bytes("a"))) ==
        "write " + path + " at 0+1: Bad file descriptor");
  CHECK(why((*file)->zero({0, 1}, false, false)) ==
        "zero " + path + " at 0+1: Bad file descriptor");
  CHECK(why((*file)->trim({0, 1})) ==
        "trim " + path + " at 0+1: Bad file descriptor");

  CHECK(why(io::open_file(dir / "none")) ==
        "open " + (dir / "none") + ": No such file or directory");
  CHECK(why(io::open_file(dir / "")) ==
        (dir / "") + " is neither a file nor a block device");
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(code(io::open_file(dir / "fifo")) == EINVAL);
  CHECK(code(io::open_file("/dev/zero")) == EINVAL);
}

TEST_CASE("file: runs of data and holes") {
  const TempDir dir;
  const std::string path = dir / "disk";
  // hole, data, hole; large enough for the blocks of any file system
  constexpr std::uint64_t kPart = 1024 * 1024;
  put(path, "");
  REQUIRE(::truncate(path.c_str(), 3 * kPart) == 0);
  {
    const auto file = io::open_file(path, {.writable = true});
    REQUIRE(why((*file)->write(kPart, bytes(std::string(kPart, 'x')))) == "");
  }
  const auto file = io::open_file(path);
  REQUIRE(why(file) == "");
  const auto run = [&](std::uint64_t offset) {
    const auto found = (*file)->run_at(offset);
    REQUIRE(why(found) == "");
    return *found;
  };
  if (run(0).data) {
    MESSAGE("no holes on this file system");
    return;
  }
  CHECK(run(0).end == kPart);
  CHECK(run(kPart - 1).end == kPart);
  CHECK(run(kPart).data);
  CHECK(run(kPart).end == 2 * kPart);
  CHECK(run(2 * kPart - 1).data);
  CHECK_FALSE(run(2 * kPart).data);
  CHECK(run(2 * kPart).end == 3 * kPart);
  CHECK(run(3 * kPart - 1).end == 3 * kPart);

  SUBCASE("never beyond the size at opening") {
    REQUIRE(::truncate(path.c_str(), 9 * kPart) == 0);
    CHECK(run(2 * kPart).end == 3 * kPart);
  }
  SUBCASE("a file that shrank has no holes but errors") {
    REQUIRE(::truncate(path.c_str(), kPart) == 0);
    CHECK(why((*file)->run_at(2 * kPart)) ==
          path + " is shorter than when it was opened");
    CHECK(code((*file)->run_at(0)) == EIO);
  }
}

TEST_CASE("replace_file: makes and replaces") {
  const TempDir dir;
  const std::string path = dir / "map";
  CHECK(why(io::replace_file(path, bytes("one"))) == "");
  CHECK(get(path) == "one");
  CHECK(why(io::replace_file(path, bytes(""))) == "");
  CHECK(get(path).empty());
  CHECK(std::distance(std::filesystem::directory_iterator(dir / ""), {}) == 1);
}

TEST_CASE("replace_file: what fails leaves the old content") {
  const TempDir dir;
  const std::string path = dir / "map";
  put(path, "old");
  SUBCASE("no directory") {
    CHECK(code(io::replace_file(dir / "none/map", bytes("x"))) == ENOENT);
  }
  SUBCASE("the name is a directory") {
    std::filesystem::create_directory(dir / "taken");
    CHECK(code(io::replace_file(dir / "taken", bytes("x"))) == EISDIR);
  }
  SUBCASE("no space") {
    // A limit on the size of files is the disk that is full.
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit before;
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const rlimit small{10, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const auto replaced = io::replace_file(path, bytes("more than ten bytes"));
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(code(replaced) == EFBIG);
  }
  CHECK(get(path) == "old");
  for (const auto& entry : std::filesystem::directory_iterator(dir / "")) {
    CHECK(entry.path().extension() != ".tmp");
  }
}
