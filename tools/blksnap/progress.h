// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "backup/backup.h"
#include "copy/pull.h"
#include "output.h"

namespace blksnap::tool {

// How far a copy of one or more disks is: a line on a terminal, that is written
// over, or with --json an object now and then; and sentences on standard error.
// Lets a signal end the copy once it has begun to write. Any thread.
class Progress : public backup::BackupObserver {
 public:
  Progress(const Output& output, bool quiet);
  ~Progress() override { clear(); }

  void note(const std::string& sentence) override;
  void writing() override;
  bool proceed(const std::string& disk, std::uint64_t done,
               std::uint64_t total) override;
  // Takes the line away again, before anything else is printed.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  void show();

  const Output& output_;
  const bool quiet_;
  const bool interactive_;
  std::mutex mutex_;  // guards all below
  struct Share {
    std::uint64_t done = 0, total = 0;
  };
  std::map<std::string, Share> shares_;
  Clock::time_point begun_{}, shown_{};
  bool line_ = false;
};

// The same of a single copy.
class SingleProgress : public copy::PullObserver {
 public:
  explicit SingleProgress(Progress& progress) : progress_(progress) {}
  void writing() override { progress_.writing(); }
  bool proceed(std::uint64_t done, std::uint64_t total) override {
    return progress_.proceed({}, done, total);
  }

 private:
  Progress& progress_;
};

}  // namespace blksnap::tool
