// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cerrno>
#include <memory>

#include "backup/verify.h"
#include "base/printable.h"
#include "progress.h"
#include "verbs.h"

namespace blksnap::tool {
namespace {

struct Values {
  backup::VerifyRequest request;
  bool quiet = false;
};

// Prints what is bad as it is found.
class Printer : public backup::VerifyObserver {
 public:
  Printer(const Output& output, Progress& progress)
      : output_(output), progress_(progress) {}

  void found(const std::string& point, const std::string& disk,
             const backup::Finding& finding) override {
    progress_.clear();
    std::string text = "bad: " + point + " ";
    if (!disk.empty()) text += disk + " ";
    if (finding.offset)
      text += "at offset " + std::to_string(*finding.offset) + ": ";
    JsonValue object = {
        {"point", point}, {"disk", disk}, {"what", finding.what}};
    if (finding.offset) object.set("offset", *finding.offset);
    output_.say(text + printable(finding.what) + "\n",
                {{"finding", std::move(object)}});
  }

  void note(const std::string& sentence) override { progress_.note(sentence); }

  bool proceed(std::uint64_t done, std::uint64_t total) override {
    return progress_.proceed({}, done, total);
  }

 private:
  const Output& output_;
  Progress& progress_;
};

Run define_verify(cli::App options) {
  auto values = std::make_shared<Values>();
  options.add_option("REPO", values->request.repository, "the repository")
      .required();
  options
      .add_option("--point", values->request.point,
                  "look at this one alone, and at all of it")
      .type_name("POINT");
  options.add_option("--disk", values->request.disk, "look at this one alone")
      .type_name("NAME");
  options
      .add_option("--source", values->request.source,
                  "compare the point, or the newest one, with an export of the "
                  "same instant as well")
      .type_name("URI");
  options.add_flag("-q,--quiet", values->quiet, "show no progress");
  return [values](const Output& output) -> Result<ExitStatus> {
    Progress progress(output, values->quiet);
    Printer printer(output, progress);
    const auto report = backup::verify(values->request, printer);
    progress.clear();
    if (!report) return report.error();
    output.say_fields({{"images", report->images},
                       {"skipped", report->skipped},
                       {"compared_bytes", report->bytes},
                       {"bad", report->findings}});
    if (report->findings == 0) return kSuccess;
    return refuse(
        EIO, values->request.repository + ": " +
                 (report->findings == 1
                      ? "1 thing is bad"
                      : std::to_string(report->findings) + " things are bad"));
  };
}

constexpr Verb kVerbs[] = {
    {"verify", "Check a repository of backups, block by block",
     "  blksnap verify /backup/host\n"
     "  blksnap verify /backup/host --point 20261122T010203Z \\\n"
     "      --source nbd://host/vdb",
     define_verify},
};

}  // namespace

std::span<const Verb> verify_verbs() {
  return kVerbs;
}

}  // namespace blksnap::tool
