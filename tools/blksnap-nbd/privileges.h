// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

namespace blksnap::server {

struct User {
  uid_t uid = 0;
  std::optional<gid_t> group;  // as the user database has it
};

// By name, or by a number that need not be in the user database. EINVAL with a
// sentence. Main thread.
Result<User> find_user(const std::string& text);
Result<gid_t> find_group(const std::string& text);

// Who to become; what is not set stays as it is.
struct Identity {
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;

  explicit operator bool() const { return uid || gid; }
};

// Of --user and --group, as far as they are given. A user brings its
// group along; one that is in no database has to be told its group, since it
// would keep root's.
Result<Identity> find_identity(const std::optional<std::string>& user,
                               const std::optional<std::string>& group);

// For good: supplementary groups, group and user, each checked afterwards. On
// an error some of it may have happened, so the process had better end.
Result<void> become(const Identity& identity);

}  // namespace blksnap::server
