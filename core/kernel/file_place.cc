// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/file_place.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <new>

#include "base/fd.h"

namespace blksnap::kernel {
namespace {

constexpr std::uint64_t kSector = 512;
constexpr std::uint32_t kExtentsPerCall = 256;

Result<std::string> device_of(const std::string& path, dev_t number) {
  const std::string link = "/sys/dev/block/" + std::to_string(major(number)) +
                           ":" + std::to_string(minor(number));
  std::error_code code;
  const auto target = std::filesystem::read_symlink(link, code);
  if (code) {
    return refuse(EOPNOTSUPP,
                  "the file system of " + path + " is on no block device");
  }
  std::string name = target.filename();
  std::replace(name.begin(), name.end(), '!', '/');  // as sysfs writes it
  return "/dev/" + name;
}

}  // namespace

Result<FilePlace> place_of_file(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail(errno, "open " + path);
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return fail(errno, "stat " + path);
  if (!S_ISREG(info.st_mode)) return refuse(EINVAL, path + " is not a file");
  auto device = device_of(path, info.st_dev);
  if (!device) return device.error();

  FilePlace place{std::move(*device), {}};
  std::uint64_t from = 0;
  for (bool last = false; !last;) {
    // The head of the request, and room for the answer behind it.
    alignas(fiemap) std::byte
        buffer[sizeof(fiemap) + kExtentsPerCall * sizeof(fiemap_extent)];
    auto* const request = new (buffer) fiemap{};
    request->fm_start = from;
    request->fm_length = FIEMAP_MAX_OFFSET - from;
    request->fm_flags = FIEMAP_FLAG_SYNC;
    request->fm_extent_count = kExtentsPerCall;
    if (::ioctl(file.get(), FS_IOC_FIEMAP, request) != 0) {
      return fail(errno, "find the place of " + path + " (FS_IOC_FIEMAP)");
    }
    const auto* const extents =
        reinterpret_cast<const fiemap_extent*>(buffer + sizeof(fiemap));
    if (request->fm_mapped_extents == 0) break;
    for (std::uint32_t i = 0; i < request->fm_mapped_extents; ++i) {
      const fiemap_extent& extent = extents[i];
      if (extent.fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_ENCODED)) {
        return refuse(EOPNOTSUPP,
                      "the place of " + path + " on its device cannot be told");
      }
      // Data kept inside of an inode need not begin at a sector.
      const std::uint64_t start = extent.fe_physical / kSector;
      const std::uint64_t end =
          (extent.fe_physical + extent.fe_length + kSector - 1) / kSector;
      place.ranges.push_back({start, end - start});
      from = extent.fe_logical + extent.fe_length;
      last = (extent.fe_flags & FIEMAP_EXTENT_LAST) != 0;
    }
  }
  return place;
}

}  // namespace blksnap::kernel
