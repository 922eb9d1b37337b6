// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copy/source.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <exception>

namespace blksnap::copy {
namespace {

constexpr char kAllocationName[] = "base:allocation";
constexpr char kChangesPrefix[] = "qemu:dirty-bitmap:";

// What is asked for at a time if the server does not mind.
constexpr std::uint32_t kUsualRequest = 256 * 1024;
// The most that any server has to take (NBD spec, "Block size constraints").
constexpr std::uint32_t kLargestRequest = 32 * 1024 * 1024;
// The largest minimum block size that the spec allows.
constexpr std::uint32_t kLargestMinimum = 64 * 1024;

// The wire has 32 bits for the length of a question without extended headers.
// Our server looks for zeroes in no more than this for one answer.
constexpr std::uint64_t kLargestStatus = 1024 * 1024 * 1024;

// Collects what libnbd's callback gets, one call for each context.
struct StatusSink {
  const std::string& changes_name;
  BlockStatus status;
};

int on_extents(void* user_data, const char* metacontext, std::uint64_t,
               std::uint32_t* entries, std::size_t nr_entries, int* error) {
  auto& sink = *static_cast<StatusSink*>(user_data);
  std::vector<Extent>* extents = nullptr;
  if (sink.changes_name == metacontext)
    extents = &sink.status.changes;
  else if (std::string_view(metacontext) == kAllocationName)
    extents = &sink.status.allocation;
  if (!extents || !extents->empty()) {
    *error = EPROTO;  // not asked for, or answered twice
    return -1;
  }
  try {
    extents->reserve(nr_entries / 2);
    for (std::size_t i = 0; i + 1 < nr_entries; i += 2)
      extents->push_back({entries[i], entries[i + 1]});
  } catch (const std::exception&) {
    *error = ENOMEM;  // exceptions must not cross C code
    return -1;
  }
  return 0;
}

// Takes a string that libnbd gave us to free; empty for NULL.
std::string take(char* text) {
  std::string taken = text ? text : "";
  std::free(text);
  return taken;
}

}  // namespace

std::string value_in(std::string_view description, std::string_view key) {
  while (!description.empty()) {
    const std::size_t space = description.find(' ');
    std::string_view word = description.substr(0, space);
    description.remove_prefix(
        space == std::string_view::npos ? description.size() : space + 1);
    if (!word.starts_with(key) || !word.substr(key.size()).starts_with('='))
      continue;
    word.remove_prefix(key.size() + 1);
    const bool plain = std::all_of(word.begin(), word.end(), [](char c) {
      return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
             (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.';
    });
    return plain ? std::string(word) : std::string();
  }
  return {};
}

Result<Source> Source::connect(Endpoint endpoint, const std::string& since) {
  const std::string uri = endpoint.name;
  Source source;
  source.uri_ = uri;
  source.handle_.reset(nbd_create());
  nbd_handle* h = source.handle_.get();
  if (!h) return nbd_failure("libnbd");
  if (!since.empty()) source.changes_name_ = kChangesPrefix + since;

  // The URI is the user's own: TLS key files that it names may be read.
  if (nbd_set_uri_allow_local_file(h, true) == -1 ||
      nbd_set_full_info(h, true) == -1 ||
      nbd_add_meta_context(h, kAllocationName) == -1 ||
      (source.incremental() &&
       nbd_add_meta_context(h, source.changes_name_.c_str()) == -1))
    return nbd_failure(uri);
  if (auto connected = copy::connect(h, endpoint); !connected)
    return connected.error();

  const std::int64_t size = nbd_get_size(h);
  const int allocation = nbd_can_meta_context(h, kAllocationName);
  const int changes =
      source.incremental()
          ? nbd_can_meta_context(h, source.changes_name_.c_str())
          : 0;
  if (size == -1 || allocation == -1 || changes == -1) return nbd_failure(uri);
  source.size_ = static_cast<std::uint64_t>(size);
  source.allocation_ = allocation != 0;
  source.changes_ = changes != 0;
  source.export_name_ = take(nbd_get_canonical_export_name(h));
  if (source.export_name_.empty())
    source.export_name_ = take(nbd_get_export_name(h));
  const std::string description = take(nbd_get_export_description(h));
  source.checkpoint_ = value_in(description, "checkpoint");
  source.quiesced_ = value_in(description, "quiesced");
  if (auto sizes = source.read_block_sizes(); !sizes) return sizes.error();
  return source;
}

Result<void> Source::read_block_sizes() {
  nbd_handle* h = handle_.get();
  const std::int64_t minimum = nbd_get_block_size(h, LIBNBD_SIZE_MINIMUM);
  const std::int64_t preferred = nbd_get_block_size(h, LIBNBD_SIZE_PREFERRED);
  const std::int64_t maximum = nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM);
  if (minimum == -1 || preferred == -1 || maximum == -1)
    return nbd_failure(uri_);

  // Each is 0 where the server does not say.
  const std::uint64_t block = std::max<std::uint64_t>(minimum, 1);
  const std::uint64_t largest =
      maximum ? std::min<std::uint64_t>(maximum, kLargestRequest)
              : kLargestRequest;
  if (!std::has_single_bit(block) || block > kLargestMinimum || largest < block)
    return refuse(EPROTO, uri_ + ": the server's block sizes make no sense");
  const std::uint64_t wanted =
      std::max<std::uint64_t>(kUsualRequest, preferred);
  minimum_block_ = static_cast<std::uint32_t>(block);
  request_size_ =
      static_cast<std::uint32_t>(std::min(wanted, largest) & ~(block - 1));
  return {};
}

Result<CopyPlan> Source::plan() {
  CopyPlan plan(size_, allocation_, changes_);
  while (!plan.complete()) {
    // Answers may end within a block, questions must not start there.
    const std::uint64_t offset =
        plan.covered_end() & ~std::uint64_t{minimum_block_ - 1};
    const ByteRange asked{offset, std::min(kLargestStatus, size_ - offset)};
    StatusSink sink{changes_name_, {}};
    if (nbd_block_status(
            handle_.get(), asked.length, asked.offset,
            {.callback = on_extents, .user_data = &sink, .free = nullptr},
            0) == -1)
      return nbd_failure("block status of " + uri_);
    if (auto added = plan.add(asked, sink.status); !added)
      return context(uri_, added.error());
  }
  return plan;
}

Result<void> Source::read(std::uint64_t offset, std::span<std::byte> buffer) {
  if (nbd_pread(handle_.get(), buffer.data(), buffer.size(), offset, 0) == -1)
    return nbd_failure("read " + uri_);
  return {};
}

}  // namespace blksnap::copy
