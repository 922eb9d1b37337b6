// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cerrno>
#include <memory>

#include "backup/prune.h"
#include "interrupt.h"
#include "progress.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

struct Values {
  backup::PruneRequest request;
  bool quiet = false;
};

// Says nothing of how far it is: how much there is to be done is not known.
class Notes : public Progress {
 public:
  using Progress::Progress;
  bool proceed(const std::string&, std::uint64_t, std::uint64_t) override {
    return !interrupted();
  }
};

void add_retention(cli::App options, backup::Retention& keep) {
  const auto add = [&](const char* option, unsigned& number,
                       const char* description) {
    options.add_option(option, number, description).type_name("N");
  };
  add("--keep-last", keep.last, "keep the newest N points");
  add("--keep-hourly", keep.hourly,
      "and the newest of each of the latest N hours that have one (UTC)");
  add("--keep-daily", keep.daily, "the same of days");
  add("--keep-weekly", keep.weekly, "of weeks");
  add("--keep-monthly", keep.monthly, "of months");
  add("--keep-yearly", keep.yearly, "of years");
}

JsonValue names(const std::vector<repo::PointName>& points) {
  JsonValue list = JsonValue::array();
  for (const auto& point : points) list.push_back(point.text());
  return list;
}

Result<ExitStatus> run(const Output& output, const Values& values) {
  const backup::PruneRequest& request = values.request;
  const bool keeps = request.retention != backup::Retention();
  if (keeps && !request.points.empty())
    return refuse(EINVAL, "--point and --keep-... exclude each other");
  if (!keeps && request.points.empty())
    return refuse(EINVAL,
                  "what is to be kept? Say --keep-last, --keep-daily and so "
                  "on, or --point for what is to be removed");
  Notes notes(output, values.quiet);
  const auto report = backup::prune(request, notes);
  notes.clear();
  if (!report) return report.error();
  std::string text;
  for (const auto& point : report->removed)
    text +=
        (request.dry_run ? "would remove " : "removed ") + point.text() + "\n";
  for (const auto& point : report->kept) text += "kept " + point.text() + "\n";
  JsonValue failed = JsonValue::array();
  std::string why;
  for (const auto& one : report->failed) {
    failed.push_back({{"point", one.point.text()}, {"what", one.why.message}});
    why += (why.empty() ? "" : "; ") + one.why.message;
  }
  output.say(text, {{"removed", names(report->removed)},
                    {"kept", names(report->kept)},
                    {"failed", std::move(failed)},
                    {"dry_run", request.dry_run}});
  if (report->failed.empty()) return kSuccess;
  return refuse(EBUSY, "not all was removed: " + why);
}

Run define_prune(cli::App options) {
  auto values = std::make_shared<Values>();
  backup::PruneRequest& request = values->request;
  options.add_option("REPO", request.repository, "the repository").required();
  add_retention(options, request.retention);
  options
      .add_option("--point", request.points,
                  "remove this point, and no other; may be repeated")
      .type_name("POINT")
      .allow_extra_args(false);
  options.add_flag("-n,--dry-run", request.dry_run,
                   "only say what would be removed");
  options.add_flag("-q,--quiet", values->quiet, "say nothing but errors");
  return [values](const Output& output) { return run(output, *values); };
}

constexpr Verb kVerbs[] = {
    {"prune", "Remove points in time that are not wanted any more",
     "  blksnap prune /backup/host --keep-last 7 --keep-weekly 4\n"
     "  blksnap prune --dry-run /backup/host --keep-daily 30\n"
     "  blksnap prune /backup/host --point 20261122T010203Z",
     define_prune},
};

}  // namespace

std::span<const Verb> prune_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
