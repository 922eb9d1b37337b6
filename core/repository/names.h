// SPDX-License-Identifier: LGPL-2.1-or-later
// Names in a repository: of points in time, and of disks. No I/O here.
#pragma once

#include <compare>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace blksnap::repo {

// 20261122T010203Z, the instant (UTC) at which a backup began; -2, -3 and so on
// follow where the name is taken. Ordered by time.
class PointName {
 public:
  static std::optional<PointName> parse(std::string_view text);
  // A name for a point made at `now`, later than that of `latest` if there is
  // one, also where the clock has been set back.
  static PointName next(std::time_t now,
                        const std::optional<PointName>& latest);

  std::string text() const;
  std::time_t instant() const;
  auto operator<=>(const PointName&) const = default;

 private:
  PointName(std::string instant, unsigned number)
      : instant_(std::move(instant)), number_(number) {}

  std::string instant_;
  unsigned number_;  // from 1
};

// Letters, digits, '.', '_' and '-', no '.' or '-' at the start, 64 at most: a
// file name that no program takes for anything else.
bool is_disk_name(std::string_view name);

// An NBD URI to be written down: without the user, and of the query nothing but
// the socket.
std::string without_secrets(std::string_view uri);

}  // namespace blksnap::repo
