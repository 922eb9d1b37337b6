// SPDX-License-Identifier: LGPL-2.1-or-later
// qcow2 images, by QEMU's own programs alone (but see qcow2_header.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/child_process.h"
#include "base/range.h"
#include "base/result.h"
#include "copy/connection.h"

namespace blksnap::qemu {

// In QEMU's lists of options a comma is written twice.
std::string in_option(const std::string& text);

// What is compressed has to be written in whole, and once: bytes.
constexpr std::uint64_t kCompressed = 64 * 1024;

// Makes an image of `size` bytes. `backing` is relative to the image's folder;
// empty: none.
Result<void> create_image(const std::string& path, std::uint64_t size,
                          const std::string& backing);

// Which image of a chain has a part: 0 is the one that was asked about.
struct ImageLayer {
  ByteRange range;
  unsigned depth = 0;
  bool data = false;      // takes room in the file; else known to be zero
  bool in_place = false;  // can be written over in that room: not compressed
};
Result<std::vector<ImageLayer>> image_layers(const std::string& path);

// By how much commit_image() may let the image below grow: bytes of data that
// the upper one has itself, and the lower one has no room for yet, or only
// compressed. As image_layers() tells of each of them.
std::uint64_t growth_by_commit(const std::vector<ImageLayer>& upper,
                               const std::vector<ImageLayer>& lower);

// qemu-img check: an error says what is wrong with it.
Result<void> check_image(const std::string& path);
// After a break: gives back what nothing refers to.
Result<void> mend_image(const std::string& path);

// Writes what an image has itself into the one that it stands on, which reads
// the same after that. `held`: see ChildProcess.
Result<void> commit_image(const std::string& path, int held);

// qemu-nbd, serving one image to one client of ours, on a socket that nobody
// else can find. For the thread that made it.
class ImageServer {
 public:
  struct Options {
    bool writable = false;
    bool compress = false;  // what is written
    int held = -1;          // see ChildProcess
  };
  static Result<ImageServer> start(const std::string& path,
                                   const Options& options);

  // For the one client; it disconnects before finish().
  copy::Endpoint take_endpoint() { return std::move(endpoint_); }

  // Until the image is closed, and in order. What was written is with the
  // kernel then: io::sync_path() it.
  Result<void> finish();

  // Adds to an error of the client what the server said when it died.
  Error explain(Error error);

 private:
  ImageServer(ChildProcess child, copy::Endpoint endpoint)
      : child_(std::move(child)), endpoint_(std::move(endpoint)) {}

  ChildProcess child_;
  copy::Endpoint endpoint_;
};

}  // namespace blksnap::qemu
