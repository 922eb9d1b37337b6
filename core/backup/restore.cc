// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/restore.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "backup/compare.h"
#include "copy/file_target.h"
#include "copy/nbd_target.h"
#include "qemu/image.h"
#include "repository/choice.h"
#include "repository/repository.h"

namespace blksnap::backup {
namespace {

// Nothing is touched before everything is known that can be.
Result<std::unique_ptr<copy::Target>> open_target(const RestoreRequest& request,
                                                  std::uint64_t size) {
  const std::string& path = request.target;
  if (copy::is_uri(path)) {
    auto target = copy::NbdTarget::connect(copy::Endpoint::at_uri(path), {});
    if (!target) return target.error();
    if ((*target)->size() < size)
      return refuse(EINVAL, path + " has " + std::to_string((*target)->size()) +
                                " bytes, the disk has " + std::to_string(size));
    return std::unique_ptr<copy::Target>(std::move(*target));
  }
  struct stat st;
  if (!request.force && ::stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode))
    return refuse(EEXIST, path + " exists: --force overwrites it");
  auto target = copy::FileTarget::create(path, size);
  if (!target) return target.error();
  return std::unique_ptr<copy::Target>(std::move(*target));
}

Error incomplete(const RestoreRequest& request, Error error) {
  error.message += "; " + request.target + " is incomplete";
  return error;
}

}  // namespace

Result<RestoreReport> restore(const RestoreRequest& request,
                              copy::PullObserver& observer) {
  const auto chosen =
      repo::ChosenDisk::open(request.repository, request.point, request.disk);
  if (!chosen) return chosen.error();
  const repo::DiskRecord& disk = chosen->disk();
  const auto digests = chosen->digests();
  if (!digests) return digests.error();

  auto server = qemu::ImageServer::start(chosen->image(), {});
  if (!server) return server.error();
  auto source = copy::Source::connect(server->take_endpoint(), "");
  if (!source) return server->explain(source.error());
  if (source->size() != disk.size)
    return refuse(EIO,
                  source->uri() + ": its size is not that of the manifest");
  const auto plan = source->plan();
  if (!plan) return plan.error();
  auto target = open_target(request, disk.size);
  if (!target) return target.error();

  observer.writing();
  auto comparison =
      copy_and_compare(std::move(*source), *plan, **target, observer, *digests);
  if (!comparison)
    return incomplete(request, comparison.error().code == ECANCELED
                                   ? comparison.error()
                                   : server->explain(comparison.error()));
  if (auto synced = (*target)->sync(); !synced)
    return incomplete(request, synced.error());
  if (comparison->bad != 0)
    return refuse(EILSEQ,
                  request.target + " is not what was backed up: point " +
                      chosen->point().text() + ", disk " + disk.name + ": " +
                      std::to_string(comparison->bad) +
                      " blocks of 64 KiB do not have their digests, the first "
                      "at offset " +
                      std::to_string(comparison->first));
  std::uint64_t data = 0;
  for (const Extent& extent : plan->extents())
    if (extent.flags == copy::kRead) data += extent.length;
  return RestoreReport{chosen->point().text(), disk.name, disk.size, data};
}

}  // namespace blksnap::backup
