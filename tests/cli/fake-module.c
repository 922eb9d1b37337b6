// SPDX-License-Identifier: LGPL-2.1-or-later
// Preloaded (LD_PRELOAD): answers the module's ioctls with fixed values, so
// that what is printed can be compared letter by letter. /dev/fake, or what
// $FAKE_DEVICE says, is its block device, the file $FAKE_IMAGE the image of it
// in a snapshot. Its last take is $FAKE_TAKE, or 7. Each call is a
// line in the file $FAKE_LOG; $FAKE_FAIL, as "CALL=ERRNO", makes one call fail.
// /dev/fake-link leads to it. $FAKE_BLOCK is what is listed as
// /sys/class/block. With $FAKE_UID it answers to this user alone, as the module
// does to root.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uapi/blkfilter.h>
#include <uapi/blksnap.h>
#include <unistd.h>

#define BLOCKS 1000
#define CLASS_BLOCK "/sys/class/block"
#define IMAGE "blksnap-259-1"

static const struct blksnap_uuid uuid = {{0x3f, 0x0c, 0x6f, 0x0e, 0x1c, 0x4b,
                                          0x4d, 0x0a, 0x9a, 0x52, 0x0f, 0x7c,
                                          0x6f, 0x5f, 0x4f, 0x0e}};

static const char* device(void) {
  const char* path = getenv("FAKE_DEVICE");
  return path ? path : "/dev/fake";
}

static int is_device(const char* path) {
  return !strcmp(path, device()) || !strcmp(path, "/dev/fake-link");
}

static int device_fd = -1;
static int control_fd = -1;

// A number that was closed, and is another file now, is not what it was.
static int opened(int fd, int* as) {
  if (fd == device_fd) device_fd = -1;
  if (fd == control_fd) control_fd = -1;
  return *as = fd;
}

__attribute__((visibility("default"))) int open(const char* path, int flags,
                                                ...) {
  va_list args;
  va_start(args, flags);
  const mode_t mode = (flags & O_CREAT) ? va_arg(args, mode_t) : 0;
  va_end(args);
  int (*next)(const char*, int, ...) = dlsym(RTLD_NEXT, "open");
  if (is_device(path)) return opened(next("/dev/null", flags), &device_fd);
  if (!strcmp(path, "/dev/" BLKSNAP_CONTROL_NAME))
    return opened(next("/dev/null", flags), &control_fd);
  if (!strcmp(path, "/dev/" IMAGE)) path = getenv("FAKE_IMAGE");
  return next(path, flags, mode);
}

// libstdc++ lists directories with this one.
__attribute__((visibility("default"))) int openat(int at, const char* path,
                                                  int flags, ...) {
  va_list args;
  va_start(args, flags);
  const mode_t mode = (flags & O_CREAT) ? va_arg(args, mode_t) : 0;
  va_end(args);
  int (*next)(int, const char*, int, ...) = dlsym(RTLD_NEXT, "openat");
  const char* block = getenv("FAKE_BLOCK");
  if (block && !strcmp(path, CLASS_BLOCK)) path = block;
  return next(at, path, flags, mode);
}

__attribute__((visibility("default"))) char* realpath(const char* path,
                                                      char* resolved) {
  char* (*next)(const char*, char*) = dlsym(RTLD_NEXT, "realpath");
  if (!is_device(path)) return next(path, resolved);
  return resolved ? strcpy(resolved, device()) : strdup(device());
}

__attribute__((visibility("default"))) int stat(const char* path,
                                                struct stat* st) {
  int (*next)(const char*, struct stat*) = dlsym(RTLD_NEXT, "stat");
  return next(strcmp(path, "/dev/" IMAGE) ? path : getenv("FAKE_IMAGE"), st);
}

__attribute__((visibility("default"))) int fstat(int fd, struct stat* st) {
  int (*next)(int, struct stat*) = dlsym(RTLD_NEXT, "fstat");
  const int rc = next(fd, st);
  if (rc == 0 && fd == device_fd)
    st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | S_IFBLK;
  return rc;
}

// Logs the call; 0, or -1 with errno where it is to fail.
static int called(const char* call, const char* detail) {
  const char* log = getenv("FAKE_LOG");
  const char* broken = getenv("FAKE_FAIL");
  FILE* file = log ? fopen(log, "a") : NULL;
  if (file) {
    fprintf(file, "%s%s%s\n", call, *detail ? " " : "", detail);
    fclose(file);
  }
  const size_t length = strlen(call);
  if (broken && !strncmp(broken, call, length) && broken[length] == '=') {
    errno = atoi(broken + length + 1);
    return -1;
  }
  return 0;
}

static const char* id_seen(const struct blksnap_uuid* id) {
  return memcmp(id, &uuid, sizeof(uuid)) ? "of-another" : "";
}

static int filter_control(struct blkfilter_ctl* ctl) {
  void* opt = (void*)(unsigned long)ctl->opt;
  switch (ctl->cmd) {
    case BLKFILTER_CTL_BLKSNAP_CBTINFO: {
      struct blksnap_cbtinfo info = {.device_capacity = 65536ull * BLOCKS,
                                     .block_size = 65536,
                                     .block_count = BLOCKS,
                                     .generation_id = uuid,
                                     .changes_number = 7};
      const char* take = getenv("FAKE_TAKE");
      if (take) info.changes_number = (unsigned char)atoi(take);
      memcpy(opt, &info, sizeof(info));
      return called("cbtinfo", "");
    }
    case BLKFILTER_CTL_BLKSNAP_CBTMAP: {
      const struct blksnap_cbtmap* map = opt;
      unsigned char* bytes = (unsigned char*)(unsigned long)map->buffer;
      for (unsigned i = 0; i < map->length && map->offset + i < BLOCKS; ++i)
        bytes[i] = (map->offset + i) % 8;
      return called("cbtmap", "");
    }
    case BLKFILTER_CTL_BLKSNAP_CBTINSTANTS: {
      struct blksnap_cbtinstants told = {.generation_id = uuid,
                                         .changes_number = 7};
      const char* take = getenv("FAKE_TAKE");
      if (take) told.changes_number = (unsigned char)atoi(take);
      for (unsigned i = 0; i < told.changes_number; ++i)
        told.instants[i] =
            (struct blksnap_instant){0x5d10f7b2a9c3e684ul * (i + 1),
                                     1700000000000000000 + i * 1000000000l};
      memcpy(opt, &told, sizeof(told));
      return called("cbtinstants", "");
    }
    case BLKFILTER_CTL_BLKSNAP_CBTDIRTY: {
      const struct blksnap_cbtdirty* dirty = opt;
      const struct blksnap_sectors* ranges =
          (const void*)(unsigned long)dirty->ranges;
      char text[1024] = "";
      for (unsigned i = 0; i < dirty->count; ++i)
        snprintf(text + strlen(text), sizeof(text) - strlen(text),
                 "%s%llu:%llu", i ? " " : "", ranges[i].offset,
                 ranges[i].count);
      return called("cbtdirty", text);
    }
    case BLKFILTER_CTL_BLKSNAP_SNAPSHOTADD:
      return called("snapshotadd", id_seen(opt));
    case BLKFILTER_CTL_BLKSNAP_SNAPSHOTINFO: {
      struct blksnap_snapshotinfo info = {
          .error_code = getenv("FAKE_IMAGE") ? 0 : -28, .image = IMAGE};
      memcpy(opt, &info, sizeof(info));
      return called("snapshotinfo", "");
    }
    case BLKFILTER_CTL_BLKSNAP_SNAPSHOTQUIESCED: {
      const struct blksnap_quiesced quiesced = {.how = BLKSNAP_QUIESCED_FROZEN};
      memcpy(opt, &quiesced, sizeof(quiesced));
      return called("snapshotquiesced", "");
    }
  }
  errno = ENOTTY;
  return -1;
}

static int wait_event(struct blksnap_snapshot_event* event) {
  static int events;
  const char* slice = event->timeout_ms == 1000 ? "a second" : "";
  if (called("wait_event", *slice ? slice : id_seen(&event->id))) {
    // Do not spin where a timeout is asked for.
    if (errno == ENOENT) usleep(event->timeout_ms * 1000);
    return -1;
  }
  event->time_label = 1700000000000000000 + events;
  if (events == 0) {
    const struct blksnap_event_no_space data = {.requested_nr_sect = 2097152};
    event->code = BLKSNAP_EVENT_CODE_NO_SPACE;
    memcpy(event->data, &data, sizeof(data));
  } else if (events == 1) {
    const struct blksnap_event_corrupted data = {259, 1, 28};
    event->code = BLKSNAP_EVENT_CODE_CORRUPTED;
    memcpy(event->data, &data, sizeof(data));
  } else {
    errno = ESRCH;
    return -1;
  }
  ++events;
  return 0;
}

static int control(unsigned long command, void* argument) {
  switch (command) {
    case BLKSNAP_IOCTL_VERSION: {
      const struct blksnap_version version = {2, 0, 0, 0};
      memcpy(argument, &version, sizeof(version));
      return called("version", "");
    }
    case BLKSNAP_IOCTL_SNAPSHOT_CREATE: {
      struct blksnap_snapshot_create* create = argument;
      char text[1024];
      snprintf(text, sizeof(text), "%s %llu",
               (const char*)(unsigned long)create->diff_storage_filename,
               create->diff_storage_limit_sect);
      create->id = uuid;
      return called("create", text);
    }
    case BLKSNAP_IOCTL_SNAPSHOT_TAKE:
      return called("take", id_seen(argument));
    case BLKSNAP_IOCTL_SNAPSHOT_TAKE_FLAGS: {
      const struct blksnap_snapshot_take* take = argument;
      return called(take->flags == BLKSNAP_TAKE_READ_ONLY ? "take-read-only"
                                                          : "take-flags",
                    id_seen(&take->id));
    }
    case BLKSNAP_IOCTL_SNAPSHOT_DESTROY:
      return called("destroy", id_seen(argument));
    case BLKSNAP_IOCTL_SNAPSHOT_COLLECT: {
      struct blksnap_snapshot_collect* collect = argument;
      struct blksnap_uuid* ids =
          (struct blksnap_uuid*)(unsigned long)collect->ids;
      if (ids && collect->count >= 2) {
        ids[0] = uuid;
        memset(&ids[1], 0xff, sizeof(ids[1]));
      }
      collect->count = 2;
      return called("collect", "");
    }
    case BLKSNAP_IOCTL_SNAPSHOT_WAIT_EVENT:
      return wait_event(argument);
    case BLKSNAP_IOCTL_SNAPSHOT_STATISTICS: {
      struct blksnap_snapshot_statistics* told = argument;
      // Only of the one; the other one is gone already.
      if (*id_seen(&told->id)) {
        errno = ESRCH;
        return -1;
      }
      told->storage_limit = 1u << 30;
      told->storage_size = 960u << 20;
      told->storage_used = 900u << 20;
      told->chunks = 5;
      told->copies = 4;
      told->copies_queued = 3;
      told->waits = 2;
      return called("statistics", "");
    }
  }
  errno = ENOTTY;
  return -1;
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long command,
                                                 ...) {
  va_list args;
  va_start(args, command);
  void* argument = va_arg(args, void*);
  va_end(args);
  const char* user = getenv("FAKE_UID");
  if (user && geteuid() != (uid_t)atoi(user) && fd >= 0 &&
      (fd == control_fd || fd == device_fd)) {
    errno = EPERM;
    return -1;
  }
  if (fd >= 0 && fd == control_fd) return control(command, argument);
  if (fd >= 0 && fd == device_fd) {
    if (command == BLKFILTER_ATTACH) return called("attach", "");
    if (command == BLKFILTER_DETACH) return called("detach", "");
    if (command == BLKFILTER_CTL) return filter_control(argument);
  }
  int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
  return next(fd, command, argument);
}
