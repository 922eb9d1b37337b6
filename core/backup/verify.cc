// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/verify.h"

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "repository/choice.h"
#include "repository/repository.h"

namespace blksnap::backup {
namespace {

// Tells how far all of it is, in what the images take on disk.
class Share : public copy::PullObserver {
 public:
  Share(VerifyObserver& observer, std::uint64_t before, std::uint64_t own,
        std::uint64_t total)
      : observer_(observer), before_(before), own_(own), total_(total) {}

  bool proceed(std::uint64_t done, std::uint64_t total) override {
    const double part =
        total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
    return observer_.proceed(
        before_ + static_cast<std::uint64_t>(part * static_cast<double>(own_)),
        total_);
  }

 private:
  VerifyObserver& observer_;
  const std::uint64_t before_, own_, total_;
};

class Verifier {
 public:
  Verifier(const repo::Repository& repository, const VerifyRequest& request,
           VerifyObserver& observer)
      : repository_(repository), request_(request), observer_(observer) {}

  Result<VerifyReport> run() {
    const auto listing = repository_.list();
    if (!listing) return listing.error();
    const auto wanted = choose_all(*listing);
    if (!wanted) return wanted.error();
    std::uint64_t total = 0, done = 0;
    for (const repo::Choice& one : *wanted)
      total += repository_.on_disk_bytes(*one.point, *one.disk);
    for (const repo::Choice& one : *wanted) {
      const std::uint64_t own =
          repository_.on_disk_bytes(*one.point, *one.disk);
      Share share(observer_, done, own, total);
      if (auto looked = look_at(*listing, one, share); !looked)
        return looked.error();
      done += own;
    }
    if (request_.source.empty()) return report_;
    if (auto compared = compare_with_source(); !compared)
      return compared.error();
    return report_;
  }

 private:
  void found(const std::string& point, const std::string& disk,
             const Finding& finding) {
    ++report_.findings;
    observer_.found(point, disk, finding);
  }

  // What is to be looked at; damaged points are bad already.
  Result<std::vector<repo::Choice>> choose_all(const repo::Listing& listing) {
    std::vector<repo::Choice> wanted;
    bool damaged = false;
    if (listing.unsure && request_.point.empty())
      found("repository", "", {listing.unsure->message, {}});
    for (const repo::Damage& damage : listing.damaged) {
      if (!request_.point.empty() && damage.point.text() != request_.point)
        continue;
      damaged = true;
      found(damage.point.text(), "", {damage.error.message, {}});
    }
    for (const repo::Point& point : listing.points) {
      if (!request_.point.empty() && point.name.text() != request_.point)
        continue;
      for (const repo::DiskRecord& disk : point.manifest.disks)
        if (request_.disk.empty() || disk.name == request_.disk)
          wanted.push_back({&point, &disk});
    }
    // Nothing is no error if nothing was asked for.
    if (wanted.empty() && !damaged &&
        !(request_.point.empty() && request_.disk.empty())) {
      auto none = repo::choose(listing, request_.repository, request_.point,
                               request_.disk);
      if (!none) return none.error();
    }
    return wanted;
  }

  // Points may be removed meanwhile: what is bad, or busy, is looked at again
  // if it has come to stand on others.
  Result<void> look_at(const repo::Listing& listing, const repo::Choice& choice,
                       copy::PullObserver& observer) {
    const std::string point = choice.point->name.text();
    const std::string disk = choice.disk->name;
    std::optional<repo::Listing> newer;
    repo::Choice at = choice;
    for (;;) {
      const repo::Listing& now = newer ? *newer : listing;
      auto inspection = inspect(repository_, now, *at.point, *at.disk,
                                !request_.point.empty(), observer);
      const bool busy = !inspection && inspection.error().code == EBUSY;
      if (!inspection && !busy) return inspection.error();
      if (inspection && inspection->findings.empty())
        return looked(at, *inspection);
      auto again = repository_.list();
      if (!again) return again.error();
      for (const repo::Damage& damage : again->damaged)
        if (damage.point.text() == point) {
          found(point, "", {damage.error.message, {}});
          return {};
        }
      const auto there = repo::choose(*again, request_.repository, point, disk);
      if (!there) return skip({ENOENT, point + " has been removed meanwhile"});
      if (repo::links_of(now, at) == repo::links_of(*again, *there))
        return busy ? skip(inspection.error()) : looked(at, *inspection);
      at = *there;
      newer = std::move(*again);
    }
  }

  Result<void> looked(const repo::Choice& at, const Inspection& inspection) {
    ++report_.images;
    report_.bytes += inspection.bytes;
    for (const Finding& finding : inspection.findings)
      found(at.point->name.text(), at.disk->name, finding);
    return {};
  }

  Result<void> skip(const Error& why) {
    ++report_.skipped;
    observer_.note("not looked at: " + why.message);
    return {};
  }

  Result<void> compare_with_source() {
    const auto chosen = repo::ChosenDisk::hold(request_.repository,
                                               request_.point, request_.disk);
    if (!chosen && chosen.error().code == EBUSY) return skip(chosen.error());
    if (!chosen && report_.findings != 0 && chosen.error().code != EINVAL)
      return {};  // it is one of them
    if (!chosen) return context("--source", chosen.error());
    const std::string point = chosen->point().text();
    const repo::DiskRecord& disk = chosen->disk();
    auto source = copy::Source::connect(request_.source, "");
    if (!source) return source.error();
    if (source->size() != disk.size) {
      found(point, disk.name,
            {request_.source + " has " + std::to_string(source->size()) +
                 " bytes, the point " + std::to_string(disk.size),
             {}});
      return {};
    }
    const auto digests = chosen->digests();
    if (!digests) return {};  // told already
    const auto plan = source->plan();
    if (!plan) return plan.error();
    NoTarget nowhere;
    const auto comparison = copy_and_compare(std::move(*source), *plan, nowhere,
                                             observer_, *digests);
    if (!comparison) return comparison.error();
    report_.bytes += comparison->compared;
    if (comparison->bad != 0)
      found(point, disk.name,
            {std::to_string(comparison->bad) + " blocks differ from " +
                 request_.source,
             comparison->first});
    return {};
  }

  const repo::Repository& repository_;
  const VerifyRequest& request_;
  VerifyObserver& observer_;
  VerifyReport report_;
};

}  // namespace

Result<VerifyReport> verify(const VerifyRequest& request,
                            VerifyObserver& observer) {
  const auto repository = repo::Repository::open(request.repository);
  if (!repository) return repository.error();
  return Verifier(*repository, request, observer).run();
}

}  // namespace blksnap::backup
