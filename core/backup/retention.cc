// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/retention.h"

#include <functional>
#include <string>

#include "base/utc.h"

namespace blksnap::backup {
namespace {

using Period = std::function<std::string(const PointName&)>;

// Points of the same period have the same text. The instant of a name is
// 20261122T010203Z, so that mostly its beginning will do.
Period beginning(std::size_t length) {
  return [length](const PointName& point) {
    return point.text().substr(0, length);
  };
}

std::string week(const PointName& point) {
  return utc_text("%GW%V", point.instant());
}

void keep(const std::vector<PointName>& points, unsigned periods,
          const Period& period, std::set<PointName>& kept) {
  std::string before;
  for (auto point = points.rbegin(); point != points.rend() && periods != 0;
       ++point) {
    std::string now = period(*point);
    if (now == before) continue;
    before = std::move(now);
    kept.insert(*point);
    --periods;
  }
}

}  // namespace

std::set<PointName> worth_keeping(const std::vector<PointName>& points,
                                  const Retention& retention) {
  std::set<PointName> kept;
  keep(
      points, retention.last, [](const auto& point) { return point.text(); },
      kept);
  keep(points, retention.hourly, beginning(11), kept);
  keep(points, retention.daily, beginning(8), kept);
  keep(points, retention.weekly, week, kept);
  keep(points, retention.monthly, beginning(6), kept);
  keep(points, retention.yearly, beginning(4), kept);
  return kept;
}

}  // namespace blksnap::backup
