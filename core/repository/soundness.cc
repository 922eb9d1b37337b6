// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/soundness.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "qemu/qcow2_header.h"

namespace blksnap::repo {

std::string backing_of(const DiskRecord& disk) {
  return disk.parent ? "../" + disk.parent->point.text() + "/" + disk.image
                     : "";
}

namespace {

// The same as it is now, where prune() got as far as to take the image below
// away, and no further.
std::string backing_now(const Repository& repository, const Listing& listing,
                        const DiskRecord& disk) {
  for (const Point& point : listing.removed) {
    const DiskRecord* record = point.manifest.find(disk.name);
    if (!record || !disk.parent || disk.parent->point != point.name) continue;
    std::error_code error;
    if (!std::filesystem::exists(repository.image(point.name, *record), error))
      return backing_of(*record);
  }
  return backing_of(disk);
}

// Checks one image before QEMU opens it, and what it stands on.
Result<void> check(const Repository& repository, const Point& point,
                   const DiskRecord& disk, const std::string& backing) {
  // QEMU looks for ../PARENT where the link leads.
  std::error_code error;
  if (!backing.empty() &&
      std::filesystem::is_symlink(repository.folder(point.name), error))
    return refuse(EINVAL, repository.folder(point.name).string() +
                              " is a symbolic link, from where the image below "
                              "cannot be found");
  return check_header(repository.image(point.name, disk).string(), disk.size,
                      backing);
}

}  // namespace

Result<void> check_header(const std::string& path, std::uint64_t size,
                          const std::string& backing) {
  const auto header = qemu::read_qcow2_header(path);
  if (!header) return header.error();
  if (header->size != size)
    return refuse(EINVAL, "the image has " + std::to_string(header->size) +
                              " bytes, the manifest " + std::to_string(size));
  if (header->external_data)
    return refuse(EINVAL, "the image has its data in another file, '" +
                              header->data_file + "'");
  if (header->backing != backing ||
      (!backing.empty() && header->backing_format != "qcow2"))
    return refuse(EINVAL, "the image stands on '" + header->backing +
                              "', not on '" + backing +
                              "' as the manifest says");
  return {};
}

bool is_damage(const Error& error) {
  constexpr int kOthers[] = {EACCES, EAGAIN, EBUSY,  ECANCELED, ECHILD,
                             EMFILE, ENFILE, ENOMEM, ENOPKG,    EPERM};
  return std::find(std::begin(kOthers), std::end(kOthers), error.code) ==
         std::end(kOthers);
}

Error as_damage(const Point& point, const std::string& disk, Error error) {
  if (!is_damage(error)) return error;
  return context(
      "point " + point.name.text() + ", disk " + disk + " is damaged",
      std::move(error));
}

Result<void> check_images(const Repository& repository, const Listing& listing,
                          const std::vector<const Point*>& chain,
                          const std::string& disk) {
  const Point& top = *chain.back();
  for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
    const DiskRecord& record = *(*at)->manifest.find(disk);
    const std::string backing = backing_now(repository, listing, record);
    if (auto good = check(repository, **at, record, backing); !good)
      return *at == &top ? good.error()
                         : context("point " + (*at)->name.text(), good.error());
    // A removal that broke has taken the image of the next point already.
    if (backing != backing_of(record)) ++at;
  }
  return {};
}

Result<void> check_digests(const DigestChain& digests, const DiskRecord& disk) {
  const auto content = digests.content();
  if (!content) return content.error();
  if (to_hexadecimal(*content) == disk.content) return {};
  return refuse(EILSEQ,
                disk.digests + " does not have the digests of the manifest");
}

Result<void> check_chain(const Repository& repository, const Listing& listing,
                         const std::vector<const Point*>& chain,
                         const std::string& disk) {
  if (auto good = check_images(repository, listing, chain, disk); !good)
    return good;
  const DiskRecord& record = *chain.back()->manifest.find(disk);
  const Blocks blocks(record.size);
  auto tables = repository.tables(chain, disk, blocks);
  if (!tables) return tables.error();
  return check_digests(DigestChain(blocks, std::move(*tables)), record);
}

}  // namespace blksnap::repo
