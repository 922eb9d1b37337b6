// SPDX-License-Identifier: LGPL-2.1-or-later
// An export that is copied to.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "copy/connection.h"
#include "copy/target.h"

namespace blksnap::copy {

// Owns the connection. Many writes are in flight at a time; what they end with
// is told by a later call, by sync() at the latest.
class NbdTarget : public Target {
 public:
  struct Options {
    // Everything reads as zeroes so far: what is to be zero needs no request.
    bool blank = false;
  };
  static Result<std::unique_ptr<NbdTarget>> connect(Endpoint endpoint,
                                                    Options options);

  std::uint64_t size() const { return size_; }  // bytes

  bool sparse() const override { return true; }
  Result<void> write(std::uint64_t offset,
                     std::span<const std::byte> data) override;
  Result<void> zero(ByteRange range) override;
  Result<void> sync() override;
  nbd_handle* connection() const override { return handle_.get(); }

  // Reads back what was written, after sync().
  Result<void> read(std::uint64_t offset, std::span<std::byte> buffer);
  // Says goodbye to the server.
  Result<void> disconnect();

 private:
  // A request, with what it writes.
  struct Slot {
    std::vector<std::byte> data;
    ByteRange range;
    bool busy = false;
    int error = 0;  // errno
  };

  NbdTarget() = default;
  Result<Slot*> idle_slot();
  Result<void> check(const Slot& slot) const;
  Result<void> drain();
  Result<void> put(ByteRange range, std::span<const std::byte> data);
  static int on_completion(void* user_data, int* error);

  std::string name_;
  Options options_;
  std::uint64_t size_ = 0;
  std::uint64_t largest_ = 0;  // bytes in a request
  bool can_zero_ = false;
  bool can_flush_ = false;
  std::vector<Slot> slots_;
  Connection handle_;  // closed before the buffers go
};

}  // namespace blksnap::copy
