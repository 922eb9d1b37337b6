// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_kernel.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "uapi/blkfilter.h"
#include "uapi/blksnap.h"

namespace blksnap {
namespace {

kernel::Uuid uuid_of(const void* bytes) {
  kernel::Uuid id;
  std::memcpy(id.data, bytes, sizeof(id.data));
  return id;
}

template <class T>
T* user(std::uint64_t pointer) {
  return reinterpret_cast<T*>(static_cast<std::uintptr_t>(pointer));
}

}  // namespace

FakeKernel::FakeKernel() {
  std::filesystem::create_directories(dev());
  std::filesystem::create_directories(sys() + "class/block");
  put(dev() + "blksnap-control", "");
}

void FakeKernel::add_device(const std::string& name, const std::string& content,
                            const std::string& sysfs) {
  std::filesystem::create_directories(
      std::filesystem::path(device(name)).parent_path());
  put(device(name), content);
  const std::string entry =
      sys() + "class/block/" + (sysfs.empty() ? name : sysfs);
  std::filesystem::create_directories(entry);
  put(entry + "/size", std::to_string(content.size() / 512) + "\n");
  if (name.starts_with("mapper/")) {
    std::filesystem::create_directories(entry + "/dm");
    put(entry + "/dm/name", name.substr(7) + "\n");
  }
  Device added;
  added.name = name;
  added.active.resize((content.size() + kBlock - 1) / kBlock);
  added.frozen = added.active;
  devices_[name] = added;
}

void FakeKernel::add_sparse_device(const std::string& name,
                                   std::uint64_t size) {
  add_device(name, "");
  std::filesystem::resize_file(device(name), size);
  devices_[name].active.resize((size + kBlock - 1) / kBlock);
  devices_[name].frozen = devices_[name].active;
}

void FakeKernel::write(const std::string& name, std::size_t offset,
                       const std::string& text) {
  std::string content = get(device(name));
  content.replace(offset, text.size(), text);
  put(device(name), content);
  Device& written = devices_.at(name);
  if (!written.attached) return;
  for (std::size_t i = offset / kBlock;
       i <= (offset + text.size() - 1) / kBlock; ++i) {
    written.active[i] = static_cast<std::uint8_t>(written.number + 1);
    written.discards.resize(written.active.size() / 8 + 1);
    written.discards[i / 8] &= static_cast<std::uint8_t>(~(1 << i % 8));
  }
}

void FakeKernel::discard(const std::string& name, std::size_t block) {
  Device& discarded = devices_.at(name);
  discarded.active[block] = static_cast<std::uint8_t>(discarded.number + 1);
  discarded.discards.resize(discarded.active.size() / 8 + 1);
  discarded.discards[block / 8] |= static_cast<std::uint8_t>(1 << block % 8);
}

void FakeKernel::corrupt(const std::string& name, int code) {
  devices_.at(name).error = -code;
}

void FakeKernel::new_generation(const std::string& name) {
  Device& reset = devices_.at(name);
  reset.generation = fresh_uuid();
  reset.number = 0;
  reset.instants.clear();
  std::fill(reset.active.begin(), reset.active.end(), std::uint8_t{0});
  reset.frozen = reset.active;
}

bool FakeKernel::attached(const std::string& name) const {
  return devices_.at(name).attached;
}

kernel::Uuid FakeKernel::fresh_uuid() {
  kernel::Uuid id{};
  id.data[0] = 0xab;
  id.data[15] = ++uuids_;
  return id;
}

Result<UniqueFd> FakeKernel::open_device(const std::string& path) const {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(errno, "open " + path);
  return fd;
}

FakeKernel::Device* FakeKernel::find(int fd) {
  struct stat opened, known;
  if (::fstat(fd, &opened) != 0) return nullptr;
  for (auto& [name, device] : devices_) {
    const std::string path = this->device(name);
    if (::stat(path.c_str(), &known) == 0 && known.st_ino == opened.st_ino) {
      return &device;
    }
  }
  return nullptr;
}

int FakeKernel::ioctl(int fd, unsigned long command, void* argument) const {
  ++calls_;
  if (fail_in_ >= 0 && fail_in_-- == 0) return fail_code_;
  auto* self = const_cast<FakeKernel*>(this);
  if (Device* device = self->find(fd)) {
    return self->filter(*device, command, argument);
  }
  return self->control(command, argument);
}

int FakeKernel::control(unsigned long command, void* argument) {
  if (command == BLKSNAP_IOCTL_VERSION) {
    *static_cast<blksnap_version*>(argument) = {2, 1, 0, 7};
    return 0;
  }
  if (command == BLKSNAP_IOCTL_SNAPSHOT_CREATE) {
    auto& call = *static_cast<blksnap_snapshot_create*>(argument);
    if (call.diff_storage_limit_sect == 0) return EINVAL;
    if (!std::filesystem::exists(user<char>(call.diff_storage_filename))) {
      return ENOENT;
    }
    const kernel::Uuid id = fresh_uuid();
    std::memcpy(call.id.b, id.data, sizeof(id.data));
    snapshots_[id] = {};
    journal_.push_back("create " +
                       std::to_string(call.diff_storage_limit_sect));
    return 0;
  }
  if (command == BLKSNAP_IOCTL_SNAPSHOT_TAKE)
    return take(uuid_of(argument), "take");
  if (command == BLKSNAP_IOCTL_SNAPSHOT_TAKE_FLAGS && !of_the_proposal) {
    const auto& call = *static_cast<blksnap_snapshot_take*>(argument);
    if (call.flags != BLKSNAP_TAKE_READ_ONLY || call.padding != 0)
      return EINVAL;
    return take(uuid_of(call.id.b), "take read-only");
  }
  if (command == BLKSNAP_IOCTL_SNAPSHOT_DESTROY) {
    return destroy(uuid_of(argument));
  }
  if (command == BLKSNAP_IOCTL_SNAPSHOT_COLLECT) {
    auto& call = *static_cast<blksnap_snapshot_collect*>(argument);
    const auto room = std::exchange(
        call.count, static_cast<std::uint32_t>(snapshots_.size()));
    if (call.ids == 0) return 0;
    if (room < snapshots_.size()) return ENODATA;
    auto* out = user<blksnap_uuid>(call.ids);
    for (const auto& [id, snapshot] : snapshots_) {
      std::memcpy(out++->b, id.data, sizeof(id.data));
    }
    return 0;
  }
  if (command == BLKSNAP_IOCTL_SNAPSHOT_STATISTICS) {
    auto& call = *static_cast<blksnap_snapshot_statistics*>(argument);
    if (!snapshots_.contains(uuid_of(call.id.b))) return ESRCH;
    call.storage_limit = statistics.storage_limit;
    call.storage_size = statistics.storage_size;
    call.storage_used = statistics.storage_used;
    call.chunks = statistics.chunks;
    call.copies = statistics.copies;
    call.copies_queued = statistics.copies_queued;
    call.waits = statistics.waits;
    return 0;
  }
  if (command == BLKSNAP_IOCTL_SNAPSHOT_WAIT_EVENT) {
    auto& call = *static_cast<blksnap_snapshot_event*>(argument);
    if (!snapshots_.contains(uuid_of(call.id.b))) return ESRCH;
    if (event_code != 0) return event_code;
    call.time_label = next_event.time;
    if (const auto* dead = std::get_if<kernel::Corrupted>(&next_event.what)) {
      const blksnap_event_corrupted data{dead->major, dead->minor, dead->code};
      call.code = BLKSNAP_EVENT_CODE_CORRUPTED;
      std::memcpy(call.data, &data, sizeof(data));
    } else if (const auto* full =
                   std::get_if<kernel::NoSpace>(&next_event.what)) {
      const blksnap_event_no_space data{full->requested / 512};
      call.code = BLKSNAP_EVENT_CODE_NO_SPACE;
      std::memcpy(call.data, &data, sizeof(data));
    } else {
      call.code = std::get<kernel::UnknownEvent>(next_event.what).code;
    }
    return 0;
  }
  return ENOTTY;
}

int FakeKernel::take(const kernel::Uuid& id, const std::string& how) {
  const auto found = snapshots_.find(id);
  if (found == snapshots_.end()) return ESRCH;
  if (found->second.taken) return EALREADY;
  bool any = false;
  ++takes_;
  // Any numbers that no other take has.
  const kernel::Instant now{
      0xabcd'0000'0000'0000U + static_cast<std::uint64_t>(takes_),
      1'700'000'000'000'000'000 + takes_};
  for (auto& [name, device] : devices_) {
    if (device.snapshot != id) continue;
    any = true;
    ++device.number;
    device.instants.push_back(now);
    device.frozen = device.active;
    device.frozen_discards = device.discards;
    device.error = 0;
    device.image = "blksnap-" + device.name;
    std::replace(device.image.begin(), device.image.end(), '/', '-');
    put(dev() + device.image, get(this->device(name)));
  }
  if (!any) return ENODEV;
  found->second.taken = true;
  journal_.push_back(how);
  return 0;
}

int FakeKernel::destroy(const kernel::Uuid& id) {
  if (!snapshots_.contains(id)) return ENODEV;
  for (auto& [name, device] : devices_) {
    if (device.snapshot != id) continue;
    if (!device.image.empty()) {
      std::filesystem::remove(dev() + device.image);
    }
    device.snapshot = {};
    device.image.clear();
  }
  snapshots_.erase(id);
  journal_.push_back("destroy");
  return 0;
}

int FakeKernel::filter(Device& device, unsigned long command, void* argument) {
  // All three arguments begin with the name.
  if (std::strncmp(static_cast<const char*>(argument), BLKSNAP_FILTER_NAME,
                   BLKFILTER_NAME_LENGTH) != 0) {
    return ENOENT;
  }
  if (command == BLKFILTER_ATTACH) {
    if (device.attached) return EALREADY;
    device.attached = true;
    new_generation(device.name);
    journal_.push_back("attach " + device.name);
    return 0;
  }
  if (!device.attached) return ENOENT;
  if (command == BLKFILTER_DETACH) {
    if (!device.snapshot.is_nil()) return EBUSY;
    device.attached = false;
    journal_.push_back("detach " + device.name);
    return 0;
  }
  if (command == BLKFILTER_CTL) return filter_control(device, argument);
  return ENOTTY;
}

int FakeKernel::filter_control(Device& device, void* argument) {
  const auto& call = *static_cast<blkfilter_ctl*>(argument);
  if (call.cmd == BLKFILTER_CTL_BLKSNAP_CBTINFO) {
    blksnap_cbtinfo info{};
    info.device_capacity =
        std::filesystem::file_size(this->device(device.name)) + capacity_lie_;
    info.block_size = kBlock;
    info.block_count = static_cast<std::uint32_t>(device.active.size());
    std::memcpy(info.generation_id.b, device.generation.data, 16);
    info.changes_number = device.number;
    std::memcpy(user<void>(call.opt), &info, sizeof(info));
    return 0;
  }
  if (call.cmd == BLKFILTER_CTL_BLKSNAP_CBTMAP) {
    const auto& ask = *user<blksnap_cbtmap>(call.opt);
    if (ask.offset >= device.frozen.size()) return ENODATA;
    std::memcpy(
        user<void>(ask.buffer), device.frozen.data() + ask.offset,
        std::min<std::size_t>(ask.length, device.frozen.size() - ask.offset));
    if (after_map_read) after_map_read();
    return 0;
  }
  if (call.cmd == BLKFILTER_CTL_BLKSNAP_CBTDISCARDS && tells_discards) {
    const auto& ask = *user<blksnap_cbtmap>(call.opt);
    device.frozen_discards.resize((device.frozen.size() + 7) / 8);
    const std::size_t all = device.frozen_discards.size();
    if (ask.offset >= all) return ENODATA;
    std::memcpy(user<void>(ask.buffer),
                device.frozen_discards.data() + ask.offset,
                std::min<std::size_t>(ask.length, all - ask.offset));
    return 0;
  }
  if (call.cmd == BLKFILTER_CTL_BLKSNAP_CBTINSTANTS && tells_instants) {
    blksnap_cbtinstants told{};
    std::memcpy(told.generation_id.b, device.generation.data, 16);
    told.changes_number = device.number;
    for (std::size_t i = 0; i < device.instants.size(); ++i)
      told.instants[i] = {device.instants[i].id, device.instants[i].time};
    std::memcpy(user<void>(call.opt), &told, sizeof(told));
    return 0;
  }
  if (call.cmd == BLKFILTER_CTL_BLKSNAP_CBTDIRTY) {
    const auto& ask = *user<blksnap_cbtdirty>(call.opt);
    const auto* ranges = user<blksnap_sectors>(ask.ranges);
    const std::uint64_t end = device.active.size() * kBlock / 512;
    for (std::uint32_t i = 0; i < ask.count; ++i) {
      if (ranges[i].count == 0 || ranges[i].offset + ranges[i].count > end) {
        return EINVAL;
      }
    }
    for (std::uint32_t i = 0; i < ask.count; ++i) {
      const std::uint64_t last = ranges[i].offset + ranges[i].count - 1;
      for (auto at = ranges[i].offset * 512 / kBlock; at <= last * 512 / kBlock;
           ++at) {
        device.active[at] = device.frozen[at] =
            static_cast<std::uint8_t>(device.number + 1);
      }
    }
    return 0;
  }
  if (call.cmd == BLKFILTER_CTL_BLKSNAP_SNAPSHOTADD) {
    const kernel::Uuid id = uuid_of(user<blksnap_snapshotadd>(call.opt)->id.b);
    const auto found = snapshots_.find(id);
    if (found == snapshots_.end()) return ESRCH;
    if (device.snapshot == id) return EALREADY;
    if (!device.snapshot.is_nil() || found->second.taken) return EBUSY;
    device.snapshot = id;
    journal_.push_back("add " + device.name);
    return 0;
  }
  if (call.cmd == BLKFILTER_CTL_BLKSNAP_SNAPSHOTINFO) {
    if (device.snapshot.is_nil()) return ENOENT;
    auto& info = *user<blksnap_snapshotinfo>(call.opt);
    info = {};
    info.error_code = device.error;
    std::memcpy(info.image, device.image.data(), device.image.size());
    return 0;
  }
  if (call.cmd == BLKFILTER_CTL_BLKSNAP_SNAPSHOTQUIESCED && quiesced) {
    if (device.snapshot.is_nil()) return ENOENT;
    *user<blksnap_quiesced>(call.opt) = {.how = *quiesced, .padding = 0};
    return 0;
  }
  return ENOTTY;
}

}  // namespace blksnap
