// SPDX-License-Identifier: LGPL-2.1-or-later
#include "checkpoint/names.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <initializer_list>
#include <set>
#include <utility>

#include "base/json.h"
#include "base/utc.h"
#include "base/uuid.h"

namespace blksnap::checkpoints {
namespace {

constexpr int kVersion = 2;
// Its checkpoints have no instants; all else is the same.
constexpr int kVersionBefore = 1;

bool may_be_in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

// The string that an object has under `key`.
Result<std::string> string_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) {
    return refuse(EINVAL, std::string("\"") + key + "\" is missing");
  }
  if (!found->is_string()) {
    return refuse(EINVAL, std::string("\"") + key + "\" is not a string");
  }
  return found->get<std::string>();
}

// What is not known may mean something that a rewritten file would lose.
Result<void> check_members(const Json& object,
                           std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      return refuse(EINVAL, "unknown member \"" + key + "\"");
  }
  return {};
}

Result<Named> decode_one(const Json& object) {
  if (!object.is_object()) return refuse(EINVAL, "not an object");
  if (auto good =
          check_members(object, {"name", "device", "checkpoint", "added"});
      !good)
    return good.error();
  Named named;
  auto name = string_of(object, "name");
  if (!name) return name.error();
  if (auto good = check_name(*name); !good) return good.error();
  named.name = std::move(*name);
  auto device = string_of(object, "device");
  if (!device) return device.error();
  named.device = std::move(*device);
  const auto at = string_of(object, "checkpoint");
  if (!at) return at.error();
  const auto checkpoint = cbt::Checkpoint::parse(*at);
  if (!checkpoint) return checkpoint.error();
  named.at = *checkpoint;
  const auto added = string_of(object, "added");
  if (!added) return added.error();
  const auto time = from_rfc3339(*added);
  if (!time)
    return refuse(
        EINVAL, "\"added\": '" + *added + "' is no time like " + to_rfc3339(0));
  named.added = *time;
  return named;
}

Result<void> check_version(const Json& file) {
  if (!file.is_object()) return refuse(EINVAL, "not an object");
  const auto version = file.find("version");
  if (version == file.end() || !version->is_number_integer()) {
    return refuse(EINVAL, "\"version\" is not a number");
  }
  // Before anything else, which another version may change.
  if (*version != kVersion && *version != kVersionBefore) {
    return refuse(EINVAL, "of version " + to_text(*version) +
                              ", and only versions 1 and 2 are known here");
  }
  return check_members(file, {"version", "checkpoints"});
}

}  // namespace

Result<void> check_name(std::string_view name) {
  const auto bad = [&](const char* why) {
    return refuse(EINVAL, "'" + std::string(name) +
                              "' cannot be the name of a checkpoint: " + why);
  };
  if (name.empty()) return bad("it is empty");
  if (name.size() > kMaxNameLength) return bad("it is longer than 64 bytes");
  if (!std::all_of(name.begin(), name.end(), may_be_in_name))
    return bad("only letters, digits, '-', '_' and '.' may be in it");
  if (name.front() == '-') return bad("it begins with '-', as options do");
  if (name.starts_with("backup-"))
    return bad("servers call a bitmap 'backup-EXPORT' by themselves");
  // "GENERATION.07", or in capitals: it would be taken for what it looks like.
  const std::size_t dot = name.find('.');
  if (dot != name.npos && parse_uuid(name.substr(0, dot)))
    return bad("it looks like GENERATION.NUMBER, which names one already");
  return {};
}

bool collide(const Named& one, const Named& other) {
  return one.name == other.name && (one.device == other.device ||
                                    one.at.generation == other.at.generation);
}

Result<std::string> encode(const std::vector<Named>& names) {
  if (names.size() > kMaxNames) {
    return refuse(EINVAL, "there would be more than " +
                              std::to_string(kMaxNames) +
                              " names: remove some, such as all that do not "
                              "stand any more");
  }
  Json checkpoints = Json::array();
  for (const Named& named : names) {
    checkpoints.push_back({{"name", named.name},
                           {"device", named.device},
                           {"checkpoint", named.at.to_string()},
                           {"added", to_rfc3339(named.added)}});
  }
  const Json file = {{"version", kVersion},
                     {"checkpoints", std::move(checkpoints)}};
  auto text = to_exact_text(file, 2);
  if (text) *text += "\n";
  return text;
}

Result<std::vector<Named>> decode(std::string_view text) {
  const auto file = parse_json(text);
  if (!file) return file.error();
  if (auto good = check_version(*file); !good) return good.error();
  const auto list = file->find("checkpoints");
  if (list == file->end() || !list->is_array()) {
    return refuse(EINVAL, "\"checkpoints\" is not an array");
  }
  if (list->size() > kMaxNames) {
    return refuse(EINVAL,
                  "more than " + std::to_string(kMaxNames) + " checkpoints");
  }
  std::vector<Named> names;
  std::set<std::pair<std::string, std::string>> seen;
  for (const Json& object : *list) {
    const std::string where =
        "\"checkpoints\"[" + std::to_string(names.size()) + "]";
    auto named = decode_one(object);
    if (!named) return context(where, named.error());
    // As collide() has it.
    if (!seen.insert({named->name, "device " + named->device}).second ||
        !seen.insert({named->name, to_string(named->at.generation)}).second) {
      return refuse(EINVAL, where + ": the name '" + named->name +
                                "' is there twice for one device");
    }
    names.push_back(std::move(*named));
  }
  return names;
}

}  // namespace blksnap::checkpoints
