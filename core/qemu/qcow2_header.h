// SPDX-License-Identifier: LGPL-2.1-or-later
// The header of a qcow2 image (docs/interop/qcow2.txt of QEMU): the one part of
// the format that is read here. QEMU's programs open what a header names before
// they say a word about it: a fifo, a device, another machine.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace blksnap::qemu {

struct Qcow2Header {
  std::uint64_t size = 0;      // bytes, of the disk
  std::string backing;         // name in the header; empty: none
  std::string backing_format;  // empty: not said
  bool external_data = false;  // another file has the data
  std::string data_file;       // that file; may be empty nevertheless
};

// Reads a plain file, and nothing that it names. EINVAL where it is no qcow2
// image, of a version other than 2 and 3, or its header makes no sense.
Result<Qcow2Header> read_qcow2_header(const std::string& path);

}  // namespace blksnap::qemu
