// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/digest_table.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "io/file.h"

namespace blksnap::repo {
namespace {

constexpr std::size_t kEntry = sizeof(Digest);
static_assert(kEntry == 32);
// Entries worked on at a time: of 1 GiB of disk.
constexpr std::size_t kWindow = 16 * 1024;
constexpr Digest kNone{};

off_t place(std::uint64_t index) {
  return static_cast<off_t>(index * kEntry);
}

}  // namespace

Result<DigestTable> DigestTable::open(const std::string& path,
                                      const Blocks& blocks, int flags) {
  DigestTable table;
  table.path_ = path;
  table.count_ = blocks.count();
  auto opened = io::open_plain(path, flags);
  if (!opened) return opened.error();
  table.fd_ = std::move(*opened);
  struct stat st;
  if (::fstat(table.fd_.get(), &st) == -1) return fail(errno, "stat " + path);
  if ((flags & O_CREAT) &&
      ::ftruncate(table.fd_.get(), place(table.count_)) == -1)
    return fail(errno, "resize " + path);
  if (!(flags & O_CREAT) && st.st_size != place(table.count_))
    return refuse(EIO, path + ": it has " + std::to_string(st.st_size) +
                           " bytes, not " +
                           std::to_string(place(table.count_)));
  return table;
}

Result<DigestTable> DigestTable::create(const std::string& path,
                                        const Blocks& blocks) {
  return open(path, blocks, O_RDWR | O_CREAT | O_EXCL);
}

Result<DigestTable> DigestTable::reopen(const std::string& path,
                                        const Blocks& blocks) {
  return open(path, blocks, O_RDWR);
}

Result<DigestTable> DigestTable::open(const std::string& path,
                                      const Blocks& blocks) {
  return open(path, blocks, O_RDONLY);
}

Result<void> DigestTable::put(std::uint64_t first,
                              std::span<const Digest> digests) const {
  auto data = std::as_bytes(digests);
  off_t at = place(first);
  while (!data.empty()) {
    const ssize_t written = ::pwrite(fd_.get(), data.data(), data.size(), at);
    if (written == -1 && errno == EINTR) continue;
    if (written == -1) return fail(errno, "write " + path_);
    at += written;
    data = data.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> DigestTable::get(std::uint64_t first,
                              std::span<Digest> digests) const {
  auto data = std::as_writable_bytes(digests);
  off_t at = place(first);
  while (!data.empty()) {
    const ssize_t got = ::pread(fd_.get(), data.data(), data.size(), at);
    if (got == -1 && errno == EINTR) continue;
    if (got == -1) return fail(errno, "read " + path_);
    if (got == 0) return refuse(EIO, "read " + path_ + ": end of file");
    at += got;
    data = data.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

std::uint64_t DigestTable::next_entries(std::uint64_t first) const {
  const off_t at = ::lseek(fd_.get(), place(first), SEEK_DATA);
  if (at == -1) return errno == ENXIO ? count_ : first;
  return static_cast<std::uint64_t>(at) / kEntry;
}

Result<void> DigestTable::adopt(const DigestTable& parent) const {
  std::vector<Digest> own, theirs;
  for (std::uint64_t first = parent.next_entries(0); first < count_;
       first = parent.next_entries(first + theirs.size())) {
    theirs.resize(std::min<std::uint64_t>(kWindow, count_ - first));
    own.resize(theirs.size());
    if (auto got = parent.get(first, theirs); !got) return got;
    if (auto got = get(first, own); !got) return got;
    for (std::size_t i = 0; i < own.size();) {
      std::size_t run = 0;
      while (i + run < own.size() && own[i + run] == kNone &&
             theirs[i + run] != kNone)
        ++run;
      if (run != 0)
        if (auto done = put(first + i, std::span(theirs).subspan(i, run));
            !done)
          return done;
      i += std::max<std::size_t>(run, 1);
    }
  }
  return {};
}

Result<void> DigestTable::sync() const {
  if (::fsync(fd_.get()) == -1) return fail(errno, "sync " + path_);
  return {};
}

Result<void> DigestChain::resolve(std::uint64_t first,
                                  std::span<Digest> digests) const {
  for (std::size_t i = 0; i < digests.size(); ++i)
    digests[i] = blocks_.zero(first + i);
  std::vector<Digest> entries(digests.size());
  for (const DigestTable& table : tables_) {
    if (table.next_entries(first) >= first + digests.size()) continue;
    if (auto got = table.get(first, entries); !got) return got;
    for (std::size_t i = 0; i < digests.size(); ++i)
      if (entries[i] != kNone) digests[i] = entries[i];
  }
  return {};
}

Result<Digest> DigestChain::content() const {
  Sha256 sum;
  std::vector<Digest> window;
  for (std::uint64_t first = 0; first < blocks_.count();
       first += window.size()) {
    window.resize(std::min<std::uint64_t>(kWindow, blocks_.count() - first));
    if (auto resolved = resolve(first, window); !resolved)
      return resolved.error();
    sum.add(std::as_bytes(std::span(window)));
  }
  return sum.finish();
}

}  // namespace blksnap::repo
