// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/settings.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>

#include "base/uuid.h"

namespace blksnap {
namespace {

// The NBD spec allows strings of 4096 bytes; the name is also a part of
// context names and of NAME@CHECKPOINT+changed, so leave room.
constexpr std::size_t kNameLength = 1024;

Error invalid(std::string sentence) {
  return refuse(EINVAL, std::move(sentence));
}

// What nbdkit takes for a boolean, so that both front ends agree.
Result<bool> parse_bool(std::string_view key, std::string_view value) {
  std::string lower(value);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  for (const char* yes : {"1", "true", "t", "yes", "y", "on"}) {
    if (lower == yes) return true;
  }
  for (const char* no : {"0", "false", "f", "no", "n", "off"}) {
    if (lower == no) return false;
  }
  return invalid(std::string(key) + "=" + std::string(value) +
                 ": want true or false");
}

Result<void> set_once(std::string& field, std::string_view key,
                      std::string_view value) {
  if (!field.empty()) return invalid(std::string(key) + "= is given twice");
  field = value;
  return {};
}

Result<void> check_name(std::string_view name) {
  if (name.size() > kNameLength) {
    return invalid("name= is longer than " + std::to_string(kNameLength) +
                   " bytes");
  }
  if (std::any_of(name.begin(), name.end(),
                  [](unsigned char c) { return c < ' ' || c == 0x7f; })) {
    return invalid("name= has a control character in it");
  }
  return {};
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  const auto bad = [&](const char* why) {
    return invalid("'" + std::string(text) + "' is not a size: " + why);
  };
  constexpr const char* kWant =
      "want a number of bytes, or one with k, M, G, T or s (sectors of 512)";
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc::result_out_of_range) return bad("it is too large");
  if (error != std::errc{} || end - rest > 1) return bad(kWant);

  unsigned shift = 0;
  if (rest != end) {
    switch (*rest) {
      case 's':
        shift = 9;
        break;
      case 'k':
      case 'K':
        shift = 10;
        break;
      case 'M':
        shift = 20;
        break;
      case 'G':
        shift = 30;
        break;
      case 'T':
        shift = 40;
        break;
      default:
        return bad(kWant);
    }
  }
  if (number > std::numeric_limits<std::uint64_t>::max() >> shift) {
    return bad("it is too large");
  }
  return number << shift;
}

Result<void> Settings::set(std::string_view given_key, std::string_view value) {
  std::string key(given_key);
  std::replace(key.begin(), key.end(), '_', '-');
  if (value.find('\0') != value.npos) {
    return invalid(key + "= has a NUL character in it");
  }
  if (value.empty()) return invalid(key + "= needs a value");

  if (key == "device") {
    if (std::find(devices.begin(), devices.end(), value) != devices.end()) {
      return invalid("device=" + std::string(value) + " is given twice");
    }
    devices.emplace_back(value);
    return {};
  }
  if (key == "diff") return set_once(diff, key, value);
  if (key == "limit") {
    if (limit != 0) return invalid("limit= is given twice");
    const auto size = parse_size(value);
    if (!size) return context("limit=", size.error());
    if (*size < 512) return invalid("limit= is less than a sector");
    limit = *size;
    return {};
  }
  if (key == "snapshot") {
    if (const auto uuid = parse_uuid(value); !uuid) {
      return context("snapshot=", uuid.error());
    }
    return set_once(snapshot, key, value);
  }
  if (key == "file") return set_once(file, key, value);
  if (key == "cbt") return set_once(cbt, key, value);
  if (key == "checkpoints") return set_once(checkpoints, key, value);
  if (key == "name") {
    if (const auto checked = check_name(value); !checked) return checked;
    return set_once(name, key, value);
  }
  if (key == "read-write") {
    const auto on = parse_bool(key, value);
    if (!on) return on.error();
    read_write = *on;
    return {};
  }
  return invalid("unknown setting '" + std::string(given_key) + "='");
}

Result<void> Settings::check() const {
  const int sources = !devices.empty() + !snapshot.empty() + !file.empty();
  if (sources == 0) {
    return invalid("nothing to serve: give device=, snapshot= or file=");
  }
  if (sources > 1) {
    return invalid("device=, snapshot= and file= exclude each other");
  }
  if (!devices.empty()) {
    if (diff.empty()) {
      return invalid(
          "device= needs diff=: a file, directory or block device to keep what "
          "the snapshot displaces");
    }
    if (limit == 0) {
      return invalid("device= needs limit=: how much space diff= may take");
    }
  } else {
    if (!diff.empty()) return invalid("diff= goes with device= only");
    if (limit != 0) return invalid("limit= goes with device= only");
  }
  if (file.empty()) {
    if (!cbt.empty()) return invalid("cbt= goes with file= only");
    if (read_write) return invalid("read-write= goes with file= only");
  }
  if (!checkpoints.empty() && !file.empty() && cbt.empty()) {
    return invalid(
        "checkpoints= needs cbt= beside file=: without a change map no "
        "checkpoint means anything");
  }
  if (read_write && !cbt.empty()) {
    return invalid(
        "read-write= and cbt= exclude each other: writing would make the saved "
        "change map untrue");
  }
  if (!name.empty() && devices.size() > 1) {
    return invalid("name= is for a single export, but device= is given " +
                   std::to_string(devices.size()) + " times");
  }
  return {};
}

const char kSettingsHelp[] =
    "  device=DEVICE     take a snapshot of this block device, hold it while\n"
    "                    serving; repeat it for one coherent snapshot of "
    "several\n"
    "  diff=PATH         file, directory or block device for the blocks that\n"
    "                    the snapshot displaces (with device=)\n"
    "  limit=SIZE        how much diff= may take: 4096, 64k, 512M, 8G, 1T, or\n"
    "                    8s in sectors of 512 bytes (with device=)\n"
    "  snapshot=UUID     serve a snapshot that is taken already, and leave it\n"
    "  file=PATH         serve a plain file or block device as it is\n"
    "  cbt=PATH          saved change map of file=\n"
    "  checkpoints=PATH  names of checkpoints, as blksnap checkpoint keeps "
    "them\n"
    "                    [/var/lib/blksnap/checkpoints.json]\n"
    "  name=NAME         name of the export, where there is only one\n"
    "  read-write=BOOL   let clients write to file=\n";

}  // namespace blksnap
