// SPDX-License-Identifier: LGPL-2.1-or-later
// What is looked at before something is read from a point, or made to stand on
// it: the images may have come from elsewhere, and an image names the file that
// it stands on itself.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "repository/digest_table.h"
#include "repository/repository.h"

namespace blksnap::repo {

// Is it about what was looked at? Else it is about the machine, or about what
// others do now: nobody knows whether something is damaged.
bool is_damage(const Error& error);

// Says whose damage it is, if it is one.
Error as_damage(const Point& point, const std::string& disk, Error error);

// Returns the name by which a disk's image has to know the one below, relative
// to its folder; empty where there is none.
std::string backing_of(const DiskRecord& disk);

// Checks the header of an image before QEMU opens what it names: a plain file
// of this size (bytes), which stands on `backing` and on nothing else. EINVAL.
Result<void> check_header(const std::string& path, std::uint64_t size,
                          const std::string& backing);

// Does each image of a chain (Listing::chain()) have the size of its
// manifest, and stand on that of the point below, as a qcow2 image of this
// repository and on nothing else? Reads headers alone. EINVAL with a sentence,
// which names the point unless it is the chain's last.
Result<void> check_images(const Repository& repository, const Listing& listing,
                          const std::vector<const Point*>& chain,
                          const std::string& disk);

// Are the digests those of the disk's manifest? Reads all tables. EILSEQ.
Result<void> check_digests(const DigestChain& digests, const DiskRecord& disk);

// Both, of the disk at the last point of a chain: may it be read, or stood on?
Result<void> check_chain(const Repository& repository, const Listing& listing,
                         const std::vector<const Point*>& chain,
                         const std::string& disk);

}  // namespace blksnap::repo
