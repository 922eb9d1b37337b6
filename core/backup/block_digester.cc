// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backup/block_digester.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

namespace blksnap::backup {
namespace {

// Zero blocks that are told to the sink at a time.
constexpr std::uint64_t kZeroes = 4096;

std::size_t worker_count() {
  return std::clamp(std::thread::hardware_concurrency(), 1U, 4U);
}

}  // namespace

BlockDigester::BlockDigester(const repo::Blocks& blocks, Sink sink)
    : blocks_(blocks), sink_(std::move(sink)), workers_(worker_count()) {}

BlockDigester::~BlockDigester() {
  workers_.join();
}

void BlockDigester::note(Result<void> done) {
  if (done) return;
  const std::lock_guard lock(mutex_);
  if (failure_) failure_ = std::move(done);
}

Result<void> BlockDigester::failure() {
  const std::lock_guard lock(mutex_);
  return failure_;
}

// The part of the range that is made of whole blocks; notes the blocks at its
// ends that are not.
ByteRange BlockDigester::whole_blocks(ByteRange range) {
  std::uint64_t first = range.offset / repo::kBlock;
  if (range.offset % repo::kBlock != 0) mixed_.insert(first++);
  std::uint64_t end = range.end() / repo::kBlock;
  if (range.end() == blocks_.size())
    end = blocks_.count();
  else if (range.end() % repo::kBlock != 0)
    mixed_.insert(end);
  if (end <= first) return {};
  const std::uint64_t start = first * repo::kBlock;
  return {start, std::min(end * repo::kBlock, blocks_.size()) - start};
}

// On a worker.
void BlockDigester::digest(std::uint64_t first,
                           std::span<const std::byte> data) {
  std::vector<repo::Digest> digests;
  for (; !data.empty();
       data = data.subspan(std::min(repo::kBlock, data.size())))
    digests.push_back(
        repo::sha256(data.first(std::min(repo::kBlock, data.size()))));
  note(sink_(first, digests));
}

Result<void> BlockDigester::saw(std::uint64_t offset,
                                std::span<const std::byte> data) {
  const ByteRange whole = whole_blocks({offset, data.size()});
  if (whole.empty()) return failure();
  const auto part = data.subspan(whole.offset - offset, whole.length);
  auto copy =
      std::make_shared<std::vector<std::byte>>(part.begin(), part.end());
  room_.acquire();
  boost::asio::post(workers_, [this, copy, whole] {
    try {
      digest(whole.offset / repo::kBlock, *copy);
    } catch (const std::exception& error) {
      note(refuse(ENOMEM, std::string("digest: ") + error.what()));
    }
    room_.release();
  });
  return failure();
}

Result<void> BlockDigester::saw_zeroes(ByteRange range) {
  const ByteRange whole = whole_blocks(range);
  if (whole.empty()) return {};
  std::uint64_t first = whole.offset / repo::kBlock;
  const std::uint64_t end = (whole.end() + repo::kBlock - 1) / repo::kBlock;
  std::vector<repo::Digest> digests;
  for (; first < end; first += digests.size()) {
    digests.resize(std::min(kZeroes, end - first));
    for (std::size_t i = 0; i < digests.size(); ++i)
      digests[i] = blocks_.zero(first + i);
    if (auto taken = sink_(first, digests); !taken) return taken;
  }
  return {};
}

Result<void> BlockDigester::settle(const Read& read) {
  for (std::ptrdiff_t i = 0; i < kWaiting; ++i) room_.acquire();
  room_.release(kWaiting);
  std::vector<std::byte> buffer(repo::kBlock);
  for (const std::uint64_t index : mixed_) {
    const ByteRange range = blocks_.range(index);
    const auto data = std::span(buffer).first(range.length);
    if (auto got = read(range.offset, data); !got) return got;
    const repo::Digest digest = repo::sha256(data);
    if (auto taken = sink_(index, {&digest, 1}); !taken) return taken;
  }
  mixed_.clear();
  return failure();
}

}  // namespace blksnap::backup
