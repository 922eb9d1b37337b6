// SPDX-License-Identifier: LGPL-2.1-or-later
// Lines: KEY=VALUE is a setting, anything else a name that a client asks for,
// of an export or of a context. Nothing is opened.
#include "base/settings.h"

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <tuple>

#include "../unit/fake_image.h"
#include "export/device_catalogue.h"
#include "fuzz.h"

namespace blksnap {
namespace {

auto all_of(const Settings& it) {
  return std::tie(it.devices, it.diff, it.limit, it.snapshot, it.file, it.cbt,
                  it.name, it.read_write, it.checkpoints);
}

void check_values(std::string_view value) {
  if (const auto size = parse_size(value)) {
    const auto again = parse_size(std::to_string(*size));
    REQUIRE(again && *again == *size);
    // A multiple of the number, and so not of what is left of one too large.
    const auto number = std::strtoull(std::string(value).c_str(), nullptr, 10);
    REQUIRE(number == 0 ? *size == 0 : *size >= number && *size % number == 0);
  }
  if (const auto checkpoint = cbt::Checkpoint::parse(value))
    REQUIRE(checkpoint->to_string() == value);
}

void set(Settings& settings, std::string_view key, std::string_view value) {
  const Settings before = settings;
  const auto done = settings.set(key, value);
  if (!done) {
    REQUIRE(done.error().code == EINVAL && !done.error().message.empty());
    REQUIRE(all_of(settings) == all_of(before));
    return;
  }
  REQUIRE(!value.empty() && value.find('\0') == value.npos);
  // What tells something new, tells it once.
  if (all_of(settings) != all_of(before) && key.front() != 'r')
    REQUIRE(!settings.set(key, value));
}

void check_fitting(const Settings& it) {
  REQUIRE(!it.devices.empty() + !it.snapshot.empty() + !it.file.empty() == 1);
  REQUIRE(it.devices.empty() == it.diff.empty());
  REQUIRE(it.devices.empty() == (it.limit == 0));
  REQUIRE(it.limit == 0 || it.limit >= 512);
  REQUIRE(!it.file.empty() || (it.cbt.empty() && !it.read_write));
  REQUIRE(it.cbt.empty() || !it.read_write);
  REQUIRE(it.checkpoints.empty() || it.file.empty() || !it.cbt.empty());
  REQUIRE(it.name.empty() || it.devices.size() < 2);
}

void ask(const exports::Catalogue& catalogue, std::string_view name,
         const std::vector<std::string_view>& contexts) {
  const auto found = catalogue.find(name);
  if (!found) {
    REQUIRE(found.error().code == ENOENT && !found.error().message.empty());
    return;
  }
  REQUIRE(name.empty() || (*found)->name() == name);
  const std::string text = (*found)->description();
  REQUIRE(std::count(text.begin(), text.end(), ',') <= 1);
  for (const auto& context : (*found)->contexts()) {
    const auto same = (*found)->find_context(context->name());
    REQUIRE(same && same->name() == context->name());
  }
  for (const std::string_view wanted : contexts) {
    const auto context = (*found)->find_context(wanted);
    if (!context) continue;
    REQUIRE(context->name() == wanted);
    ExtentBuilder out({0, (*found)->size()}, 100);
    REQUIRE(context->extents(out) && out.complete());
  }
}

}  // namespace
}  // namespace blksnap

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace blksnap;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  Settings settings;
  std::vector<std::string_view> asked;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t equals = line.find('=');
    check_values(line.substr(equals + 1));  // all of it, without one
    if (equals == line.npos) {
      asked.push_back(line);
    } else {
      set(settings, line.substr(0, equals), line.substr(equals + 1));
    }
  }
  if (const auto fits = settings.check()) {
    check_fitting(settings);
  } else {
    REQUIRE(fits.error().code == EINVAL && !fits.error().message.empty());
  }

  exports::Device device = fake_device();
  if (!settings.name.empty()) device.name = settings.name;
  if (!settings.file.empty()) device.origin = settings.file;
  std::vector<exports::Device> devices;
  devices.push_back(std::move(device));
  const auto catalogue = exports::DeviceCatalogue::make(std::move(devices));
  REQUIRE(catalogue);
  for (const auto& entry : (*catalogue)->list())
    ask(**catalogue, entry.name, asked);
  for (const std::string_view name : asked) ask(**catalogue, name, asked);
  return 0;
}
