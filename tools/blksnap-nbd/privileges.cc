// SPDX-License-Identifier: LGPL-2.1-or-later
#include "privileges.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <limits>

namespace blksnap::server {
namespace {

// All bits set means "no change" to the system calls.
std::optional<std::uint32_t> id_from(const std::string& text) {
  std::uint32_t id = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, id);
  if (error != std::errc{} || rest != end ||
      id == std::numeric_limits<std::uint32_t>::max())
    return std::nullopt;
  return id;
}

}  // namespace

Result<User> find_user(const std::string& text) {
  if (const passwd* entry = ::getpwnam(text.c_str()))
    return User{entry->pw_uid, entry->pw_gid};
  const auto uid = id_from(text);
  if (!uid) return refuse(EINVAL, "there is no user '" + text + "'");
  if (const passwd* entry = ::getpwuid(*uid))
    return User{entry->pw_uid, entry->pw_gid};
  return User{*uid, std::nullopt};
}

Result<gid_t> find_group(const std::string& text) {
  if (const ::group* entry = ::getgrnam(text.c_str())) return entry->gr_gid;
  const auto gid = id_from(text);
  if (!gid) return refuse(EINVAL, "there is no group '" + text + "'");
  return gid_t{*gid};
}

Result<Identity> find_identity(const std::optional<std::string>& user,
                               const std::optional<std::string>& group) {
  Identity identity;
  if (user) {
    const auto found = find_user(*user);
    if (!found) return context("--user", found.error());
    identity.uid = found->uid;
    identity.gid = found->group;
  }
  if (group) {
    const auto found = find_group(*group);
    if (!found) return context("--group", found.error());
    identity.gid = *found;
  }
  if (identity.uid && !identity.gid)
    return refuse(EINVAL, "--user: " + *user +
                              " is in no database that tells its group: give "
                              "--group too");
  return identity;
}

Result<void> become(const Identity& identity) {
  if (identity.gid) {
    const gid_t gid = *identity.gid;
    if (::setgroups(1, &gid) != 0)
      return fail(errno, "give up supplementary groups");
    gid_t real, effective, saved;
    if (::setresgid(gid, gid, gid) != 0 ||
        ::getresgid(&real, &effective, &saved) != 0)
      return fail(errno, "become group " + std::to_string(gid));
    if (real != gid || effective != gid || saved != gid)
      return refuse(EPERM, "become group " + std::to_string(gid) +
                               ": the kernel kept another");
  }
  if (identity.uid) {
    const uid_t uid = *identity.uid;
    uid_t real, effective, saved;
    if (::setresuid(uid, uid, uid) != 0 ||
        ::getresuid(&real, &effective, &saved) != 0)
      return fail(errno, "become user " + std::to_string(uid));
    if (real != uid || effective != uid || saved != uid ||
        (uid != 0 && ::setuid(0) == 0))
      return refuse(EPERM, "become user " + std::to_string(uid) +
                               ": there is a way back");
  }
  return {};
}

}  // namespace blksnap::server
