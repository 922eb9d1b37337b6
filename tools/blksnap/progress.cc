// SPDX-License-Identifier: LGPL-2.1-or-later
#include "progress.h"

#include <unistd.h>

#include <cstdio>

#include "base/printable.h"
#include "interrupt.h"

namespace blksnap::tool {
namespace {

constexpr std::chrono::milliseconds kInterval{400};

std::string clock_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds);
  char text[40];
  std::snprintf(text, sizeof text, "%llu:%02llu",
                static_cast<unsigned long long>(whole / 60),
                static_cast<unsigned long long>(whole % 60));
  return text;
}

}  // namespace

Progress::Progress(const Output& output, bool quiet)
    : output_(output),
      quiet_(quiet),
      interactive_(!quiet && !output.json() && isatty(STDERR_FILENO) == 1) {}

void Progress::note(const std::string& sentence) {
  if (quiet_) return;
  clear();
  std::fprintf(stderr, "blksnap: %s\n", printable(sentence).c_str());
}

void Progress::writing() {
  catch_interrupts({SIGINT, SIGTERM, SIGHUP});
}

bool Progress::proceed(const std::string& disk, std::uint64_t done,
                       std::uint64_t total) {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (shares_.empty()) begun_ = shown_ = now;
  shares_[disk] = {done, total};
  if (now - shown_ >= kInterval && (interactive_ || output_.json())) {
    shown_ = now;
    show();
  }
  return !interrupted();
}

void Progress::show() {
  std::uint64_t done = 0, total = 0;
  for (const auto& [name, share] : shares_) {
    done += share.done;
    total += share.total;
  }
  const std::chrono::duration<double> taken = shown_ - begun_;
  const double rate = static_cast<double>(done) / taken.count();
  const double left = rate > 0 ? static_cast<double>(total - done) / rate : 0;
  if (output_.json()) {
    if (quiet_) return;
    output_.say("", {{"progress",
                      {{"done_bytes", done},
                       {"total_bytes", total},
                       {"bytes_per_second", static_cast<std::uint64_t>(rate)},
                       {"seconds_left", static_cast<std::uint64_t>(left)}}}});
    std::fflush(stdout);
    return;
  }
  std::fprintf(
      stderr, "\r\033[K%3d%% of %s, %s/s, %s left",
      total ? static_cast<int>(static_cast<double>(done) * 100 / total) : 100,
      size_text(total).c_str(),
      size_text(static_cast<std::uint64_t>(rate)).c_str(),
      rate > 0 ? clock_text(left).c_str() : "?");
  line_ = true;
}

void Progress::clear() {
  const std::lock_guard lock(mutex_);
  if (line_) std::fputs("\r\033[K", stderr);
  line_ = false;
}

}  // namespace blksnap::tool
