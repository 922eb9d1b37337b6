// SPDX-License-Identifier: LGPL-2.1-or-later
// The server's side of a pull: one NBD connection (libnbd) to one export.
#pragma once

#include <libnbd.h>

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "copy/connection.h"
#include "copy/plan.h"

namespace blksnap::copy {

// Owns the connection and closes it. Not for several threads at once.
class Source {
 public:
  // Connects to a server (an NBD URI) and negotiates base:allocation and,
  // unless `since` is empty, qemu:dirty-bitmap:SINCE. That the server grants
  // neither is no error here; see allocation() and changes(). Blocks.
  static Result<Source> connect(Endpoint endpoint, const std::string& since);
  static Result<Source> connect(const std::string& uri,
                                const std::string& since) {
    return connect(Endpoint::at_uri(uri), since);
  }

  // Or the name of the endpoint.
  const std::string& uri() const { return uri_; }
  // As the server calls it, where it says so.
  const std::string& export_name() const { return export_name_; }
  std::uint64_t size() const { return size_; }  // bytes

  // What an unaligned request is rounded to, and the most to ask for at a
  // time; bytes, the first a power of two and a divisor of the second.
  std::uint32_t minimum_block() const { return minimum_block_; }
  std::uint32_t request_size() const { return request_size_; }

  // The canonical name of the take that the export shows, from its description;
  // empty where the server does not say (any server but ours).
  const std::string& checkpoint() const { return checkpoint_; }
  // The word quiesced= of the description, likewise.
  const std::string& quiesced() const { return quiesced_; }

  // Was an incremental asked for, and were the contexts granted?
  bool incremental() const { return !changes_name_.empty(); }
  bool changes() const { return changes_; }
  bool allocation() const { return allocation_; }
  // Name of the context that was asked for; empty unless incremental().
  const std::string& changes_name() const { return changes_name_; }

  // What the bitmap says is of no use: as if it had not been granted.
  void ignore_changes() { changes_ = false; }

  // Asks for the block status of the whole export and says what is to be done
  // with each byte of it. An incremental one needs changes().
  Result<CopyPlan> plan();

  // Some of it, while nothing else is going on. Blocks.
  Result<void> read(std::uint64_t offset, std::span<std::byte> buffer);

  nbd_handle* handle() const { return handle_.get(); }

 private:
  Source() = default;
  Result<void> read_block_sizes();

  std::string uri_;
  std::string export_name_;
  std::string checkpoint_;
  std::string quiesced_;
  std::string changes_name_;
  std::uint64_t size_ = 0;
  std::uint32_t minimum_block_ = 1;
  std::uint32_t request_size_ = 0;
  bool allocation_ = false;
  bool changes_ = false;
  Connection handle_;
};

// The value of the word KEY=VALUE of an export's description; empty if there is
// none or it is not made of letters, digits, '-', '_' and '.' alone (it comes
// from outside, and is printed for scripts).
std::string value_in(std::string_view description, std::string_view key);

}  // namespace blksnap::copy
