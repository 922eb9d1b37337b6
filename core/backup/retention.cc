// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/retention.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/utc.h"

namespace blksnap::backup {
namespace {

// The newest points of so many periods; `format` of strftime(3) gives points of
// one period the same text.
void keep(const std::vector<DatedPoint>& by_time, unsigned periods,
          const char* format, std::set<repo::PointName>& kept) {
  std::string before;
  for (auto point = by_time.rbegin(); point != by_time.rend() && periods != 0;
       ++point) {
    std::string now = utc_text(format, point->started);
    if (now == before) continue;
    before = std::move(now);
    kept.insert(point->name);
    --periods;
  }
}

}  // namespace

std::set<repo::PointName> worth_keeping(std::vector<DatedPoint> points,
                                        const Retention& retention) {
  std::set<repo::PointName> kept;
  std::sort(points.begin(), points.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  for (auto point = points.rbegin();
       point != points.rend() && kept.size() < retention.last; ++point)
    kept.insert(point->name);

  // Points that were begun in the same second stay in the order of their names.
  std::stable_sort(
      points.begin(), points.end(),
      [](const auto& a, const auto& b) { return a.started < b.started; });
  keep(points, retention.hourly, "%Y%m%dT%H", kept);
  keep(points, retention.daily, "%Y%m%d", kept);
  keep(points, retention.weekly, "%GW%V", kept);
  keep(points, retention.monthly, "%Y%m", kept);
  keep(points, retention.yearly, "%Y", kept);
  return kept;
}

}  // namespace blksnap::backup
