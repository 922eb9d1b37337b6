// SPDX-License-Identifier: LGPL-2.1-or-later
// What a point in time says about itself: manifest.json. FORMAT.md, "Manifest".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "repository/names.h"

namespace blksnap::repo {

// The point that an incremental image stands on. A manifest of the first format
// has its name alone.
struct Parent {
  PointName point;
  std::string id;       // Manifest::id of that point
  std::string content;  // DiskRecord::content of the disk at that point

  bool operator==(const Parent&) const = default;
};

struct DiskRecord {
  std::string name;
  std::string source;      // where it was read from, for people
  std::uint64_t size = 0;  // bytes
  std::string image;       // file names in the folder of the point
  std::string digests;
  std::optional<Parent> parent;  // none: full
  std::string why;               // why it is full, or what it was taken since
  std::string since;             // the bitmap that was asked for; empty if full
  std::string checkpoint;        // what the next one asks for; empty: unknown
  std::string quiesced;          // how its file systems were at rest, as
                                 // blksnap-nbd-protocol(7) says; empty: unknown
  std::string content;           // see digest_table.h; in hexadecimal
  std::uint64_t read_bytes = 0;  // read from the source
  std::uint64_t zeroed_bytes = 0;  // known to be zero without that

  bool incremental() const { return parent.has_value(); }
  bool operator==(const DiskRecord&) const = default;
};

struct Manifest {
  std::string id;       // a UUID, which stays; empty: of the first format
  std::string tool;     // program and version
  std::string started;  // UTC, RFC 3339
  std::string finished;
  std::vector<DiskRecord> disks;

  const DiskRecord* find(std::string_view disk) const;
  bool operator==(const Manifest&) const = default;
};

// In today's format. `point`: whose manifest it is.
std::string to_json(const PointName& point, const Manifest& manifest);
// An error with a sentence: EINVAL where it is not a manifest, of a format that
// is not known, of another point, or has names that lead out of the point's
// folder; EILSEQ where it does not have its digest.
Result<Manifest> parse_manifest(std::string_view text, const PointName& point);

}  // namespace blksnap::repo
