// SPDX-License-Identifier: LGPL-2.1-or-later
// A model of the module blksnap in user space: what kmod/uapi promises, so
// that all that stands on core/kernel can be tested without root.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernel/control.h"
#include "kernel/filter.h"
#include "kernel/system.h"
#include "temp_dir.h"
#include "uapi/blksnap.h"

namespace blksnap {

class FakeKernel : public kernel::System {
 public:
  static constexpr std::uint32_t kBlock = 4096;

  FakeKernel();

  // Adds /dev/NAME with this content. `sysfs` is its name there.
  void add_device(const std::string& name, const std::string& content,
                  const std::string& sysfs = "");
  // One that is all hole, and may be large.
  void add_sparse_device(const std::string& name, std::uint64_t size);
  std::string device(const std::string& name) const { return dev() + name; }

  // A write to the live device.
  void write(const std::string& name, std::size_t offset,
             const std::string& text);
  // All of the live device's block is discarded; its bytes stay.
  void discard(const std::string& name, std::size_t block);
  // The module is of the proposal, and knows nothing of discards.
  bool tells_discards = true;
  // What SNAPSHOTQUIESCED says; nothing: the module does not know it.
  std::optional<std::uint32_t> quiesced = BLKSNAP_QUIESCED_FROZEN;
  // It has none of our additions to SNAPSHOT_TAKE.
  bool of_the_proposal = false;
  // It keeps no instants of takes.
  bool tells_instants = true;
  // The image of the device dies; its next SNAPSHOTINFO says so.
  void corrupt(const std::string& name, int code);
  // What a wrap of the number or a reload of the module does.
  void new_generation(const std::string& name);

  std::size_t snapshots() const { return snapshots_.size(); }
  bool attached(const std::string& name) const;

  // The ioctl after `calls` more fails with `code`, once.
  void fail_after(int calls, int code) {
    fail_in_ = calls;
    fail_code_ = code;
  }
  int calls() const { return calls_; }
  // CBTINFO tells of this many bytes more than the device has.
  void lie_about_capacity(std::uint64_t bytes) { capacity_lie_ = bytes; }
  // Called after each CBTMAP.
  std::function<void()> after_map_read;
  // Names, in order, of the ioctls that changed something.
  std::vector<std::string> journal() const { return journal_; }
  kernel::Statistics statistics;
  kernel::Event next_event{0, kernel::UnknownEvent{}};
  int event_code = ENOENT;

  int ioctl(int fd, unsigned long command, void* argument) const override;
  Result<UniqueFd> open_device(const std::string& path) const override;
  std::string dev() const override { return root_ / "dev/"; }
  std::string sys() const override { return root_ / "sys/"; }

 private:
  struct Device {
    std::string name;
    bool attached = false;
    kernel::Uuid generation{};
    std::uint8_t number = 0;
    std::vector<kernel::Instant> instants;  // take n at [n - 1]
    std::vector<std::uint8_t> active, frozen;
    std::vector<std::uint8_t> discards, frozen_discards;  // bits
    kernel::Uuid snapshot{};                              // nil: in none
    std::string image;
    int error = 0;
  };
  struct Snapshot {
    bool taken = false;
  };
  // The model changes behind a const interface, as the real kernel does.
  int control(unsigned long command, void* argument);
  int filter(Device& device, unsigned long command, void* argument);
  int filter_control(Device& device, void* argument);
  int take(const kernel::Uuid& id, const std::string& how);
  int destroy(const kernel::Uuid& id);
  Device* find(int fd);
  kernel::Uuid fresh_uuid();

  TempDir root_;
  std::map<std::string, Device> devices_;
  std::map<kernel::Uuid, Snapshot> snapshots_;
  std::vector<std::string> journal_;
  std::uint8_t uuids_ = 0;
  std::int64_t takes_ = 0;
  mutable int calls_ = 0;
  mutable int fail_in_ = -1;
  int fail_code_ = 0;
  std::uint64_t capacity_lie_ = 0;
};

}  // namespace blksnap
