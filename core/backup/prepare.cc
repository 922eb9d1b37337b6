// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/prepare.h"

#include <algorithm>
#include <cerrno>
#include <climits>

#include "cbt/checkpoint.h"
#include "qemu/image.h"
#include "repository/soundness.h"

namespace blksnap::backup {
namespace {

constexpr std::uint64_t kSector = 512;

// Nothing: a bitmap of QEMU's, or of another server, by its name.
std::optional<cbt::Checkpoint> canonical(const std::string& checkpoint) {
  const auto parsed = cbt::Checkpoint::parse(checkpoint);
  return parsed ? std::optional(*parsed) : std::nullopt;
}

// Are both names of one take, or of one bitmap?
bool same(const std::string& one, const std::string& other) {
  if (one == other) return true;
  const auto first = canonical(one), second = canonical(other);
  return first && second && first->may_be(*second);
}

const repo::Point* newest_with(const repo::Listing& listing,
                               const std::string& disk) {
  const auto found =
      std::find_if(listing.points.rbegin(), listing.points.rend(),
                   [&](const repo::Point& p) { return p.manifest.find(disk); });
  return found == listing.points.rend() ? nullptr : &*found;
}

// The bitmap to ask for.
Result<std::string> check_since(const repo::Listing& listing,
                                const repo::Point& newest,
                                const std::string& disk,
                                const std::string& since) {
  const std::string& recorded = newest.manifest.find(disk)->checkpoint;
  // One of them may have the instant.
  if (same(recorded, since)) return std::max(recorded, since);
  const std::string which = "--since " + since + ": the newest point of " +
                            disk + ", " + newest.name.text() +
                            ", has another checkpoint";
  for (const repo::Point& point : listing.points) {
    const repo::DiskRecord* record = point.manifest.find(disk);
    if (record && same(record->checkpoint, since))
      return refuse(EINVAL, which + "; that is " + point.name.text() + "'s");
  }
  if (canonical(since)) return refuse(EINVAL, which);
  return since;
}

// A point that is newer than `point` and may hold the disk, with the reason why
// no more is known of it: "point X cannot be read: ..."; empty if there is
// none.
std::string newer_unknown(const repo::Listing& listing,
                          const repo::Point& point, const std::string& disk) {
  for (const repo::Damage& damage : listing.damaged)
    if (point.name < damage.point)
      return "point " + damage.point.text() +
             " cannot be read: " + damage.error.message;
  if (listing.unsure)
    return "there may have been a newer one: " + listing.unsure->message;
  for (const repo::Point& removed : listing.removed)
    if (point.name < removed.name && removed.manifest.find(disk))
      return "point " + removed.name.text() + " is being removed";
  return {};
}

// QEMU finds an image by a path that goes through all points above it,
// POINT/../PARENT/.. and so on, and no path may be longer than PATH_MAX.
// Why nothing more can stand on the chain; empty if it can.
std::string why_too_long(const repo::Repository& repository,
                         const std::vector<const repo::Point*>& chain,
                         const std::string& disk) {
  // For a repository that comes to have a longer path.
  constexpr std::size_t kReserve = 512;
  std::size_t length =
      repository.image(chain.front()->name, *chain.front()->manifest.find(disk))
          .string()
          .size() +
      sizeof "20261122T010203Z-999999.partial/..";
  for (const repo::Point* point : chain)
    length += point->name.text().size() + 4;
  if (length + kReserve <= PATH_MAX) return "";
  return "the newest point stands on " + std::to_string(chain.size() - 1) +
         " others, which is as many as QEMU can follow; blksnap prune makes "
         "that less";
}

// Another server may have another disk of this name, and a bitmap of it that is
// called the same. `origin`: where it is read from now.
std::string why_doubtful(const Wish& wish, const std::string& disk,
                         const std::string& origin) {
  const std::string& before = wish.parent->manifest.find(disk)->source;
  if (canonical(wish.bitmap) || before == origin) return {};
  return "the newest point was read from " + before + ", not from " + origin +
         ": is checkpoint " + wish.bitmap +
         " the same there? --since would say so";
}

// Why the server does not grant the changes since `bitmap`. A server of ours
// says which take it shows.
std::string why_not_offered(const copy::Source& source,
                            const std::string& bitmap) {
  const std::string what =
      "the server does not offer " + source.changes_name() + ": ";
  const auto wanted = canonical(bitmap), now = canonical(source.checkpoint());
  if (wanted && now && wanted->generation != now->generation)
    return what +
           "its generation has ended, with a restart or with a change that the "
           "filter could not track (the kernel's log there tells)";
  // A server that knows no instants does not know the name.
  if (!wanted || !now || (wanted->instant != 0 && now->instant == 0))
    return what + "the checkpoint is unknown there";
  return what +
         "the machine was put back to an earlier state since that point was "
         "made";
}

// Why what the server grants is of no use; empty if it is.
Result<std::string> why_not(const Wish& wish, const std::string& disk,
                            const copy::Source& source,
                            const repo::Repository& repository,
                            const repo::Listing& listing) {
  const std::uint64_t before = wish.parent->manifest.find(disk)->size;
  if (before != source.size())
    return "its size was " + std::to_string(before) + " bytes and is " +
           std::to_string(source.size()) + " now";
  if (!source.changes()) return why_not_offered(source, wish.bitmap);
  const auto chain = listing.chain(*wish.parent, disk);
  if (chain)
    if (auto why = why_too_long(repository, *chain, disk); !why.empty())
      return why;
  const auto good = chain ? repo::check_chain(repository, listing, *chain, disk)
                          : Result<void>(chain.error());
  if (good) return std::string();
  if (!repo::is_damage(good.error())) return good.error();
  return "point " + wish.parent->name.text() +
         " is damaged: " + good.error().message;
}

repo::Parent link_to(const repo::Point& point, const std::string& disk) {
  return {point.name, point.manifest.id, point.manifest.find(disk)->content};
}

Result<std::string> name_for(const SourceDisk& disk,
                             const copy::Source& source) {
  const std::string name = disk.name.empty() ? source.export_name() : disk.name;
  if (repo::is_disk_name(name)) return name;
  if (disk.name.empty())
    return refuse(EINVAL, disk.uri + ": '" + name +
                              "', the name of the export, cannot be that of a "
                              "disk: give one with --name");
  return refuse(EINVAL, "--name '" + name +
                            "': letters, digits, '.', '_' and '-' alone, and "
                            "no '.' or '-' at the start");
}

Result<void> check_size(const copy::Source& source, bool compress) {
  const std::uint64_t unit = compress ? qemu::kCompressed : kSector;
  if (source.size() % unit != 0)
    return refuse(
        EINVAL,
        source.uri() + ": its size, " + std::to_string(source.size()) +
            " bytes, is not a multiple of " + std::to_string(unit) +
            (compress ? ", which --compress needs" : ", as that of a disk is"));
  if (compress && source.request_size() % unit != 0)
    return refuse(EINVAL, source.uri() +
                              ": the server does not take requests "
                              "of " +
                              std::to_string(unit) +
                              " bytes, which --compress needs");
  return {};
}

}  // namespace

Result<Wish> wish_for(const repo::Listing& listing, const std::string& disk,
                      const BackupRequest& request) {
  Wish wish;
  wish.parent = newest_with(listing, disk);
  if (request.kind == BackupRequest::kFull) {
    wish.why_full = "a full backup was asked for";
  } else if (!wish.parent) {
    wish.why_full = "there is no point of this disk yet";
  } else if (!request.since.empty()) {
    auto bitmap = check_since(listing, *wish.parent, disk, request.since);
    if (!bitmap) return bitmap.error();
    wish.bitmap = std::move(*bitmap);
  } else {
    wish.bitmap = wish.parent->manifest.find(disk)->checkpoint;
    if (wish.bitmap.empty())
      wish.why_full = "the checkpoint of the newest point, " +
                      wish.parent->name.text() +
                      ", is not known; --checkpoint names one";
  }
  // A bitmap can be made anew under its name: then it tells what changed since
  // the newer point.
  if (!wish.bitmap.empty() && !canonical(wish.bitmap)) {
    const std::string unknown = newer_unknown(listing, *wish.parent, disk);
    if (!unknown.empty()) {
      wish.why_full = "checkpoint " + wish.bitmap + " may be that of a newer " +
                      "point than " + wish.parent->name.text() + ": " + unknown;
      wish.bitmap.clear();
    }
  }
  if (wish.bitmap.empty()) wish.parent = nullptr;
  return wish;
}

Result<PreparedDisk> prepare(const SourceDisk& disk,
                             const BackupRequest& request,
                             const repo::Repository& repository,
                             const repo::Listing& listing) {
  const std::string origin =
      disk.origin.empty() ? repo::without_secrets(disk.uri) : disk.origin;
  std::string name = disk.name;
  if (name.empty()) {
    const auto looked = copy::Source::connect(disk.uri, "");
    if (!looked) return looked.error();
    auto found = name_for(disk, *looked);
    if (!found) return found.error();
    name = std::move(*found);
  }
  auto wish = wish_for(listing, name, request);
  if (!wish) return wish.error();
  auto source = copy::Source::connect(disk.uri, wish->bitmap);
  if (!source) return source.error();
  if (auto good = name_for({disk.uri, name, {}}, *source); !good)
    return good.error();
  if (auto good = check_size(*source, request.compress); !good)
    return good.error();

  if (wish->parent) {
    auto why = why_not(*wish, name, *source, repository, listing);
    if (!why) return why.error();
    wish->why_full = std::move(*why);
  }
  if (wish->parent && wish->why_full.empty() && request.since.empty())
    wish->why_full = why_doubtful(*wish, name, origin);
  const bool full = !wish->why_full.empty();
  // Not another connection: there are servers with room for one, or that end
  // with it.
  if (full) source->ignore_changes();
  std::string checkpoint =
      source->checkpoint().empty() ? request.checkpoint : source->checkpoint();
  return PreparedDisk{
      name,
      origin,
      full ? std::optional<repo::Parent>() : link_to(*wish->parent, name),
      full ? wish->why_full : "what changed since " + wish->parent->name.text(),
      full ? std::string() : wish->bitmap,
      std::move(checkpoint),
      std::move(*source)};
}

}  // namespace blksnap::backup
