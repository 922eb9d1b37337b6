// SPDX-License-Identifier: LGPL-2.1-or-later
#include "checkpoint/store.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "fake_image.h"
#include "io/fault_file.h"
#include "result.h"
#include "temp_dir.h"
#include "traced_child.h"

using namespace blksnap;
using checkpoints::Named;
using Names = std::vector<Named>;

namespace {

Named named(const std::string& name) {
  return {name, "/dev/vdb", checkpoint(7), 0};
}

Result<void> add(const std::string& path, const std::string& name) {
  return checkpoints::change_names(path, [&](Names& names) -> Result<void> {
    names.push_back(named(name));
    return {};
  });
}

Names read(const std::string& path) {
  auto names = checkpoints::read_names(path);
  REQUIRE(why(names) == "");
  return std::move(*names);
}

std::vector<std::byte> bytes_of(const Names& names) {
  const auto text = checkpoints::encode(names);
  const auto bytes = std::as_bytes(std::span(*text));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::string> files_in(const std::string& directory) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    files.push_back(entry.path().filename());
  std::sort(files.begin(), files.end());
  return files;
}

// A directory with a file of two names, for a child to add a third.
struct Scene {
  Scene() {
    REQUIRE(why(add(path, "one")) == "");
    REQUIRE(why(add(path, "two")) == "");
  }
  const TempDir dir;
  const std::string path = dir / "names";
  const Names old_names{named("one"), named("two")};
  const Names new_names{named("one"), named("two"), named("three")};
  const std::function<int()> body = [this] {
    return add(path, "three").has_value() ? 0 : 1;
  };
};

}  // namespace

TEST_CASE("checkpoint store: no file, no names") {
  const TempDir dir;
  CHECK(read(dir / "none").empty());
  CHECK(files_in(dir / "").empty());
}

TEST_CASE("checkpoint store: what is added is read") {
  const TempDir dir;
  const std::string path = dir / "names";
  REQUIRE(why(add(path, "one")) == "");
  const mode_t mask = ::umask(077);
  const auto added = add(path, "two");
  ::umask(mask);
  REQUIRE(why(added) == "");
  CHECK(read(path) == Names{named("one"), named("two")});

  // Servers without privileges read it; nobody but its writer locks it.
  struct stat file {};
  REQUIRE(::stat(path.c_str(), &file) == 0);
  CHECK((file.st_mode & 07777) == 0644);
  REQUIRE(::stat((path + ".lock").c_str(), &file) == 0);
  CHECK((file.st_mode & 07777) == 0600);
  CHECK(files_in(dir / "") == std::vector<std::string>{"names", "names.lock"});
}

TEST_CASE("checkpoint store: a change that fails, or is none, writes nothing") {
  const Scene scene;
  struct stat before {
  }, after{};
  REQUIRE(::stat(scene.path.c_str(), &before) == 0);
  const auto refused =
      checkpoints::change_names(scene.path, [](Names& names) -> Result<void> {
        names.clear();
        return refuse(EEXIST, "no");
      });
  CHECK(why(refused) == "no");
  CHECK(why(checkpoints::change_names(
            scene.path, [](Names&) -> Result<void> { return {}; })) == "");
  REQUIRE(::stat(scene.path.c_str(), &after) == 0);
  CHECK(before.st_ino == after.st_ino);
  CHECK(read(scene.path) == scene.old_names);
}

TEST_CASE("checkpoint store: a damaged file is neither read nor replaced") {
  const Scene scene;
  const std::string whole = get(scene.path);
  put(scene.path, whole.substr(0, 100));
  const auto names = checkpoints::read_names(scene.path);
  CHECK(why(names).starts_with(scene.path + ": parse error at line 7, column"));
  CHECK(code(names) == EINVAL);
  CHECK(why(add(scene.path, "three")) == why(names));
  CHECK(get(scene.path) == whole.substr(0, 100));

  put(scene.path, std::string(1024 * 1024 + 1, ' '));
  CHECK(why(checkpoints::read_names(scene.path)) ==
        scene.path + " is larger than 1048576 bytes");
  std::filesystem::remove(scene.path);
  std::filesystem::create_directory(scene.path);
  CHECK(why(checkpoints::read_names(scene.path)) ==
        scene.path + " is neither a file nor a block device");
}

TEST_CASE("checkpoint store: a read that fails is no empty list") {
  const Names names{named("one")};
  const io::FaultFile sound(bytes_of(names));
  CHECK(*checkpoints::read_names(sound) == names);
  const unsigned calls = sound.calls();
  REQUIRE(calls > 0);
  for (unsigned call = 0; call < calls; ++call) {
    io::FaultFile file(bytes_of(names));
    file.fail_after(call, EIO);
    CHECK(code(checkpoints::read_names(file)) == EIO);
  }
  // Written over in place by somebody else, and shorter now.
  io::FaultFile shorter(bytes_of(names));
  shorter.shorten(10);
  CHECK(code(checkpoints::read_names(shorter)) == EIO);
}

TEST_CASE("checkpoint store: what is durable before what") {
  if (!can_trace()) return;
  Scene scene;
  const Traced traced = trace(scene.body);
  CHECK(traced.result == 0);
  std::string order;
  for (const long call : traced.calls) {
    if (call == SYS_flock) order += "flock ";
    if (call == SYS_write) order += "write ";
    if (call == SYS_fsync) order += "fsync ";
    if (call == SYS_rename) order += "rename ";
  }
  // The lock, before anything is read; the new content, the name, the
  // directory that has the name.
  CHECK(order == "flock write fsync rename fsync ");
  const auto lock =
      std::find(traced.calls.begin(), traced.calls.end(), SYS_flock);
  const auto is_read = [](long call) {
    return call == SYS_read || call == SYS_pread64;
  };
  CHECK(std::find_if(traced.calls.begin(), lock, is_read) == lock);
  CHECK(std::find_if(lock, traced.calls.end(), is_read) != traced.calls.end());
}

TEST_CASE("checkpoint store: killed at any step") {
  if (!can_trace()) return;
  std::size_t steps = 0, old_states = 0, new_states = 0;
  for (;; ++steps) {
    Scene scene;
    const Traced traced = kill_at(steps, scene.body);
    if (traced.result == 0) break;  // it had no so many steps
    CAPTURE(steps);
    const Names names = read(scene.path);
    const bool old_state = names == scene.old_names;
    CHECK((old_state || names == scene.new_names));
    ++(old_state ? old_states : new_states);
    // And the next one is not kept from its work.
    CHECK(why(add(scene.path, "four")) == "");
    CHECK(read(scene.path).back().name == "four");
  }
  CHECK(steps > 10);
  CHECK(old_states > 0);
  CHECK(new_states > 0);
}

TEST_CASE("checkpoint store: a failure at any step") {
  if (!can_trace()) return;
  std::size_t steps = 0, failures = 0;
  for (;; ++steps) {
    Scene scene;
    const Traced traced = fail_at(steps, ENOSPC, scene.body);
    if (traced.calls.size() <= steps) break;
    CAPTURE(steps);
    CAPTURE(traced.calls[steps]);
    // close() and the removal of what is not there may fail.
    if (traced.result == 0) {
      CHECK(read(scene.path) == scene.new_names);
    } else {
      ++failures;
      const auto renamed =
          std::find(traced.calls.begin(),
                    traced.calls.begin() + static_cast<std::ptrdiff_t>(steps),
                    SYS_rename);
      const bool before =
          renamed == traced.calls.begin() + static_cast<std::ptrdiff_t>(steps);
      CHECK(read(scene.path) == (before ? scene.old_names : scene.new_names));
    }
    CHECK(files_in(scene.dir / "") ==
          std::vector<std::string>{"names", "names.lock"});
  }
  CHECK(failures > 5);
}

TEST_CASE("checkpoint store: writers do not lose each other's changes") {
  constexpr int kWriters = 4, kEach = 25;
  const TempDir dir;
  const std::string path = dir / "names";
  std::vector<pid_t> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (int i = 0; i < kEach; ++i) {
        if (!add(path, std::to_string(writer) + "-" + std::to_string(i)))
          ::_exit(1);
      }
      ::_exit(0);
    }
    writers.push_back(child);
  }
  for (const pid_t writer : writers) {
    int status = -1;
    REQUIRE(::waitpid(writer, &status, 0) == writer);
    CHECK(status == 0);
  }
  CHECK(read(path).size() == kWriters * kEach);
}
