// SPDX-License-Identifier: LGPL-2.1-or-later
// `nbdkit blksnap WORD...`: nbdkit's callbacks on one side, Export on the
// other, and nothing else. nbdkit checks requests before they come here.
//
// Life of the process. nbdkit runs .get_ready, then forks (into the background,
// or for --run), then .after_fork in the child, which is the one that serves.
// The catalogue is opened in .get_ready, where errors reach the user; threads
// start in .after_fork, since they do not survive a fork. See Process for who
// releases the snapshot.
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>

#include "base/printable.h"
#include "export/export.h"
#include "nbd/error.h"
#include "process.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

namespace {

using namespace blksnap;
using exports::Context;
using exports::Export;

// Of a connection.
struct Handle {
  std::shared_ptr<Export> served;
  std::shared_ptr<const Context> allocation;  // may be null
};

Export& served(void* handle) {
  return *static_cast<Handle*>(handle)->served;
}

// NBD's error values are those of Linux, so the one table serves nbdkit too.
// (Left to itself it makes EINVAL of what it does not know, and so puts the
// blame on the client.)
void report(const Error& error) {
  nbdkit_error("%s", printable(error.message).c_str());
  nbdkit_set_error(static_cast<int>(nbd::nbd_error(error.code, {})));
}

int status(const Result<void>& result) {
  if (result) return 0;
  report(result.error());
  return -1;
}

// The one way into C++ from nbdkit, which is C: no exception may pass.
template <class Body, class Value = std::invoke_result_t<Body>>
Value guarded(Body body, std::type_identity_t<Value> failure) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    nbdkit_error("out of memory");
    nbdkit_set_error(ENOMEM);
  } catch (const std::exception& error) {
    nbdkit_error("unexpected: %s", printable(error.what()).c_str());
    nbdkit_set_error(EIO);
  }
  return failure;
}

template <class Body>
int guarded(Body body) noexcept {
  return guarded(std::move(body), -1);
}

// ---- configuration and life ----

int plugin_config(const char* key, const char* value) {
  return guarded([&] { return status(process().set(key, value)); });
}

int plugin_config_complete() {
  return guarded([] { return status(process().check()); });
}

int plugin_get_ready() {
  return guarded([] { return status(process().open()); });
}

int plugin_after_fork() {
  return guarded([] { return status(process().start()); });
}

void plugin_cleanup() {
  guarded([] {
    process().close();
    return 0;
  });
}

// For `nbdkit --dump-plugin`: what a script may want to know first.
void plugin_dump_plugin() {
  std::puts("blksnap_bitmaps=unix,tcp");
}

// ---- exports ----

int plugin_list_exports(int, int, struct nbdkit_exports* exports) {
  return guarded([&] {
    for (const auto& entry : process().catalogue().list())
      if (nbdkit_add_export(exports, entry.name.c_str(),
                            entry.description.c_str()) == -1)
        return -1;
    return 0;
  });
}

const char* plugin_default_export(int, int) {
  return guarded(
      []() -> const char* {
        const auto found = process().catalogue().find("");
        return found ? nbdkit_strdup_intern((*found)->name().c_str()) : nullptr;
      },
      nullptr);
}

void* plugin_open(int) {
  return guarded(
      []() -> void* {
        // Null where no client has asked: a filter opens the plugin for itself
        // (ext2 of nbdkit 1.48 does when it starts). It gets the default.
        const char* const name = nbdkit_export_name();
        auto found = process().catalogue().find(name ? name : "");
        if (!found) {
          report(found.error());
          return nullptr;
        }
        auto allocation = (*found)->find_context("base:allocation");
        return new Handle{std::move(*found), std::move(allocation)};
      },
      nullptr);
}

void plugin_close(void* handle) {
  delete static_cast<Handle*>(handle);
}

const char* plugin_export_description(void* handle) {
  return guarded(
      [&] {
        return nbdkit_strdup_intern(served(handle).description().c_str());
      },
      nullptr);
}

int64_t plugin_get_size(void* handle) {
  return guarded([&] { return static_cast<int64_t>(served(handle).size()); },
                 -1);
}

int plugin_block_size(void* handle, uint32_t* minimum, uint32_t* preferred,
                      uint32_t* maximum) {
  return guarded([&] {
    const exports::BlockLimits limits = served(handle).limits();
    *minimum = limits.minimum;
    *preferred = limits.preferred;
    *maximum = limits.maximum;
    return 0;
  });
}

int plugin_can_write(void* handle) {
  return guarded([&] { return served(handle).writable() ? 1 : 0; });
}

int plugin_can_fua(void* handle) {
  return guarded([&] {
    return served(handle).writable() ? NBDKIT_FUA_NATIVE : NBDKIT_FUA_NONE;
  });
}

int plugin_can_multi_conn(void* handle) {
  return guarded([&] { return served(handle).multi_conn() ? 1 : 0; });
}

int plugin_is_rotational(void* handle) {
  return guarded([&] { return served(handle).rotational() ? 1 : 0; });
}

int plugin_can_extents(void* handle) {
  return static_cast<Handle*>(handle)->allocation ? 1 : 0;
}

// ---- data ----

int plugin_pread(void* handle, void* buffer, uint32_t count, uint64_t offset,
                 uint32_t) {
  return guarded([&] {
    return status(
        served(handle).read(offset, {static_cast<std::byte*>(buffer), count}));
  });
}

int plugin_pwrite(void* handle, const void* buffer, uint32_t count,
                  uint64_t offset, uint32_t flags) {
  return guarded([&] {
    return status(served(handle).write(
        offset, {static_cast<const std::byte*>(buffer), count},
        (flags & NBDKIT_FLAG_FUA) != 0));
  });
}

int plugin_flush(void* handle, uint32_t) {
  return guarded([&] { return status(served(handle).flush()); });
}

int plugin_trim(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  return guarded([&] {
    return status(
        served(handle).trim({offset, count}, (flags & NBDKIT_FLAG_FUA) != 0));
  });
}

int plugin_zero(void* handle, uint32_t count, uint64_t offset, uint32_t flags) {
  return guarded([&] {
    auto zeroed = served(handle).zero(
        {offset, count}, (flags & NBDKIT_FLAG_MAY_TRIM) != 0,
        (flags & NBDKIT_FLAG_FAST_ZERO) != 0, (flags & NBDKIT_FLAG_FUA) != 0);
    // Not worth a message: nbdkit or the client writes zeroes instead.
    if (!zeroed && zeroed.error().code == EOPNOTSUPP) {
      nbdkit_set_error(EOPNOTSUPP);
      return -1;
    }
    return status(zeroed);
  });
}

int plugin_can_cache(void*) {
  return NBDKIT_CACHE_NATIVE;
}

int plugin_cache(void* handle, uint32_t count, uint64_t offset, uint32_t) {
  return guarded([&] { return status(served(handle).cache({offset, count})); });
}

// The flags of base:allocation and those of nbdkit are the same bits.
static_assert(NBDKIT_EXTENT_HOLE == exports::kStateHole);
static_assert(NBDKIT_EXTENT_ZERO == exports::kStateZero);

int plugin_extents(void* handle, uint32_t count, uint64_t offset,
                   uint32_t flags, struct nbdkit_extents* extents) {
  // As many as nbdkit holds.
  constexpr std::size_t kMaxExtents = 1024 * 1024;
  return guarded([&] {
    ExtentBuilder found({offset, count},
                        (flags & NBDKIT_FLAG_REQ_ONE) != 0 ? 1 : kMaxExtents);
    const auto& allocation = *static_cast<Handle*>(handle)->allocation;
    if (auto asked = allocation.extents(found); !asked) return status(asked);
    for (const Extent& extent : found.extents()) {
      if (nbdkit_add_extent(extents, offset, extent.length, extent.flags) == -1)
        return -1;
      offset += extent.length;
    }
    return 0;
  });
}

struct nbdkit_plugin plugin = {
    .name = "blksnap",
    .longname = "snapshots of live block devices",
    .version = BLKSNAP_VERSION,
    .description =
        "Serves coherent snapshots of block devices, and what "
        "changed in them",
    .config = plugin_config,
    .config_complete = plugin_config_complete,
    .config_help = config_help(),
    .open = plugin_open,
    .close = plugin_close,
    .get_size = plugin_get_size,
    .can_write = plugin_can_write,
    .can_flush = plugin_can_write,
    .is_rotational = plugin_is_rotational,
    .can_trim = plugin_can_write,
    .dump_plugin = plugin_dump_plugin,
    .can_zero = plugin_can_write,
    .can_fua = plugin_can_fua,
    .pread = plugin_pread,
    .pwrite = plugin_pwrite,
    .flush = plugin_flush,
    .trim = plugin_trim,
    .zero = plugin_zero,
    .magic_config_key = "device",
    .can_multi_conn = plugin_can_multi_conn,
    .can_extents = plugin_can_extents,
    .extents = plugin_extents,
    .can_cache = plugin_can_cache,
    .cache = plugin_cache,
    .can_fast_zero = plugin_can_write,
    .get_ready = plugin_get_ready,
    .after_fork = plugin_after_fork,
    .list_exports = plugin_list_exports,
    .default_export = plugin_default_export,
    .export_description = plugin_export_description,
    .cleanup = plugin_cleanup,
    .block_size = plugin_block_size,
};

}  // namespace

NBDKIT_REGISTER_PLUGIN(plugin)
