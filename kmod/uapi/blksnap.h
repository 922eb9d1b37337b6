/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * blksnap: change tracking and snapshots of block devices.
 *
 * Per device: commands of the filter "blksnap", carried by BLKFILTER_CTL.
 * Per snapshot: ioctls on /dev/blksnap-control (CAP_SYS_ADMIN).
 * Sectors have 512 bytes. All padding is explicit, and zero in replies.
 */
#ifndef _UAPI_BLKSNAP_H
#define _UAPI_BLKSNAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define BLKSNAP_FILTER_NAME "blksnap"
#define BLKSNAP_CONTROL_NAME "blksnap-control"

/* A UUID, in the byte order in which it is printed. */
struct blksnap_uuid {
	__u8 b[16];
};

/* ---- commands of the filter (blkfilter_ctl.cmd) ---- */

enum blkfilter_ctl_blksnap {
	/* out: struct blksnap_cbtinfo */
	BLKFILTER_CTL_BLKSNAP_CBTINFO = 0,
	/* in: struct blksnap_cbtmap */
	BLKFILTER_CTL_BLKSNAP_CBTMAP = 1,
	/* in: struct blksnap_cbtdirty */
	BLKFILTER_CTL_BLKSNAP_CBTDIRTY = 2,
	/* in: struct blksnap_snapshotadd */
	BLKFILTER_CTL_BLKSNAP_SNAPSHOTADD = 3,
	/* out: struct blksnap_snapshotinfo */
	BLKFILTER_CTL_BLKSNAP_SNAPSHOTINFO = 4,
	/* in: struct blksnap_cbtmap; ours: BLKSNAP_FEATURE_DISCARDS */
	BLKFILTER_CTL_BLKSNAP_CBTDISCARDS = 128,
	/* out: struct blksnap_cbtinstants; ours: BLKSNAP_FEATURE_INSTANTS */
	BLKFILTER_CTL_BLKSNAP_CBTINSTANTS = 129,
	/* out: struct blksnap_quiesced; ours: BLKSNAP_FEATURE_QUIESCED */
	BLKFILTER_CTL_BLKSNAP_SNAPSHOTQUIESCED = 130,
};

/**
 * struct blksnap_cbtinfo - the change map of a device
 * @device_capacity: size of the device, bytes
 * @block_size:      bytes that one byte of the map stands for, a power of two
 * @block_count:     bytes in the map
 * @generation_id:   changes whenever older numbers lose their meaning
 * @changes_number:  number of the last take in this generation, 0 before it.
 *                   A block changed since take N iff its byte is above N.
 * @padding:         zero
 */
struct blksnap_cbtinfo {
	__u64 device_capacity;
	__u32 block_size;
	__u32 block_count;
	struct blksnap_uuid generation_id;
	__u8 changes_number;
	__u8 padding[7];
};

/**
 * struct blksnap_cbtmap - read a part of the map frozen at the last take
 * @offset: first byte of the map
 * @length: bytes of @buffer
 * @buffer: user pointer
 *
 * Reads min(@length, rest of the map). The ioctl returns 0, as the proposal
 * does; the caller knows the size from CBTINFO. ENODATA: @offset is not
 * within the map. ESTALE: the generation has ended since the last take, because
 * the device was changed past the filter, or the virtual machine restored.
 *
 * CBTDISCARDS reads a bitmap in the same way, frozen at the same time: bit
 * n % 8 of byte n / 8 is 1 where the last that was done to all of block n was to
 * discard it, to erase it, or to have the device write zeroes to it, and nothing
 * was written to any of it since. A hint where to look for zeroes, no more: the
 * device may have done something else, or nothing.
 */
struct blksnap_cbtmap {
	__u32 offset;
	__u32 length;
	__u64 buffer;
};

/* Takes of one generation: a byte of the map counts them. */
#define BLKSNAP_TAKES_MAX 254

/**
 * struct blksnap_instant - one take
 * @id:   64 random bits, not 0
 * @time: CLOCK_REALTIME nanoseconds, as the clock was then
 *
 * All devices of a snapshot have the same. A machine that was restored to an
 * earlier state, or copied, uses generation and number once more, with another
 * @id. Where the processor has no RDRAND, that rests on clocks: likely, not
 * certain.
 */
struct blksnap_instant {
	__u64 id;
	__s64 time;
};

/**
 * struct blksnap_cbtinstants - the takes of the generation
 * @generation_id:  as of CBTINFO
 * @changes_number: as of CBTINFO: how many there are
 * @padding:        zero
 * @instants:       of take N at [N - 1]; zero after the last take
 *
 * No take comes between the members.
 */
struct blksnap_cbtinstants {
	struct blksnap_uuid generation_id;
	__u8 changes_number;
	__u8 padding[7];
	struct blksnap_instant instants[BLKSNAP_TAKES_MAX];
};

/* A range of a device, in sectors. */
struct blksnap_sectors {
	__u64 offset;
	__u64 count;
};

/**
 * struct blksnap_cbtdirty - mark ranges as changed by hand
 * @count:  ranges at @ranges
 * @ranges: user pointer to struct blksnap_sectors
 *
 * EINVAL: a range is empty or not within the device; nothing is marked then.
 */
struct blksnap_cbtdirty {
	__u32 count;
	__u32 padding;
	__u64 ranges;
};

/**
 * struct blksnap_snapshotadd - add the device to a snapshot
 * @id: the snapshot
 *
 * ESRCH no such snapshot; EALREADY the device is in it; EBUSY it is in
 * another one, or this one is taken already, or the device is the difference
 * storage, or holds it in a file that may move or whose file system is frozen;
 * ENOSPC it holds the storage, and that cannot grow to its limit; EPERM the disk
 * has integrity data or inline encryption.
 */
struct blksnap_snapshotadd {
	struct blksnap_uuid id;
};

#define BLKSNAP_IMAGE_NAME_LENGTH 32

/**
 * struct blksnap_snapshotinfo - the image of a device in its snapshot
 * @error_code: 0, or the negative errno that the image died of
 * @image:      name of the image's block device, without "/dev/"; empty
 *              before the snapshot is taken
 *
 * ENOENT: the device is in no snapshot.
 */
struct blksnap_snapshotinfo {
	__s32 error_code;
	__u8 image[BLKSNAP_IMAGE_NAME_LENGTH];
};

enum blksnap_quiesced_how {
	/* Somebody holds a part of it who cannot be stopped, or is not known. */
	BLKSNAP_QUIESCED_UNKNOWN = 0,
	/* A file system could not be frozen. It was only written back. */
	BLKSNAP_QUIESCED_SYNCED = 1,
	/* All file systems were frozen, as by fsfreeze(8). */
	BLKSNAP_QUIESCED_FROZEN = 2,
	/* Nothing is mounted. */
	BLKSNAP_QUIESCED_NOTHING = 3,
};

/**
 * struct blksnap_quiesced - how the device was at rest when it was taken
 * @how:     enum blksnap_quiesced_how: the worst of all file systems that stand
 *           on it, on its partitions and on devices of device-mapper and md
 *           above it
 * @padding: zero
 *
 * What was written to the device otherwise had been written back. Swap counts as
 * nothing. ENOENT: the device is in no snapshot. ENODATA: it is not taken yet.
 */
struct blksnap_quiesced {
	__u32 how;
	__u32 padding;
};

/* ---- ioctls of /dev/blksnap-control ---- */

#define BLKSNAP_IOC_MAGIC 'V'

/* What BLKSNAP_IOCTL_VERSION tells. */
struct blksnap_version {
	__u16 major;
	__u16 minor;
	__u16 revision;
	__u16 build;
};

/**
 * struct blksnap_snapshot_create - make a snapshot that has no devices yet
 * @diff_storage_limit_sect: sectors that the difference storage may take
 * @diff_storage_filename:   user pointer to the NUL-terminated path of a
 *                           regular file, a directory (an unnamed file is
 *                           made in it) or a block device (taken exclusively)
 * @id:                      out: the snapshot
 *
 * Errors of opening the path pass through. EINVAL: neither file, directory
 * nor block device, or no limit, or a block device with blocks larger than
 * pages; ENOSPC: the file is larger than the limit, or its file system has no
 * room. Of a block device the limit is used at most, and neither the first nor
 * the last MiB: labels of LVM, md and file systems stay what they are.
 */
struct blksnap_snapshot_create {
	__u64 diff_storage_limit_sect;
	__u64 diff_storage_filename;
	struct blksnap_uuid id;
};

/**
 * struct blksnap_snapshot_collect - list the snapshots
 * @count: in: room at @ids; out: how many there are
 * @ids:   user pointer to struct blksnap_uuid, or NULL to ask @count only
 *
 * ENODATA: there are more than @count; @count is updated, @ids untouched.
 */
struct blksnap_snapshot_collect {
	__u32 count;
	__u32 padding;
	__u64 ids;
};

enum blksnap_event_codes {
	/* data: struct blksnap_event_corrupted */
	BLKSNAP_EVENT_CODE_CORRUPTED = 0,
	/* data: struct blksnap_event_no_space */
	BLKSNAP_EVENT_CODE_NO_SPACE = 1,
};

/**
 * struct blksnap_snapshot_event - wait for something to happen to a snapshot
 * @id:         in: the snapshot
 * @timeout_ms: in: how long to wait
 * @code:       out: enum blksnap_event_codes
 * @time_label: out: CLOCK_REALTIME nanoseconds of the event
 * @data:       out: by @code
 *
 * ENOENT nothing happened in time; EINTR a signal came; ESRCH no such
 * snapshot.
 */
struct blksnap_snapshot_event {
	struct blksnap_uuid id;
	__u32 timeout_ms;
	__u32 code;
	__s64 time_label;
	__u8 data[4096 - 32];
};

/* The image of device @dev_id_mj:@dev_id_mn died of @err_code (positive). */
struct blksnap_event_corrupted {
	__u32 dev_id_mj;
	__u32 dev_id_mn;
	__s32 err_code;
};

/* The difference storage could not grow by @requested_nr_sect sectors. */
struct blksnap_event_no_space {
	__u64 requested_nr_sect;
};

/* ---- our additions to the proposal, far from its numbers ---- */

/* Images can be written. */
#define BLKSNAP_FEATURE_IMAGE_WRITE (1ULL << 0)
/* The difference storage may lie on a device of its snapshot. */
#define BLKSNAP_FEATURE_STORAGE_ON_ORIGIN (1ULL << 1)
/* BLKSNAP_IOCTL_SNAPSHOT_STATISTICS */
#define BLKSNAP_FEATURE_STATISTICS (1ULL << 2)
/* BLKFILTER_CTL_BLKSNAP_CBTDISCARDS */
#define BLKSNAP_FEATURE_DISCARDS (1ULL << 3)
/* BLKFILTER_CTL_BLKSNAP_CBTINSTANTS */
#define BLKSNAP_FEATURE_INSTANTS (1ULL << 4)
/* BLKFILTER_CTL_BLKSNAP_SNAPSHOTQUIESCED */
#define BLKSNAP_FEATURE_QUIESCED (1ULL << 5)
/* BLKSNAP_IOCTL_SNAPSHOT_TAKE_FLAGS */
#define BLKSNAP_FEATURE_TAKE_FLAGS (1ULL << 6)

/**
 * struct blksnap_features - what this module has beyond the proposal
 * @features: BLKSNAP_FEATURE_*; a tool asks for bits that it knows
 *
 * Modules of others answer ENOTTY: no features.
 */
struct blksnap_features {
	__u64 features;
};

/**
 * struct blksnap_snapshot_statistics - what a snapshot has cost so far
 * @id:            in: the snapshot
 * @storage_limit: bytes that the difference storage may take
 * @storage_size:  bytes that it has taken: of a file what it has grown to, of
 *                 a device its size, at most the limit
 * @storage_used:  bytes of @storage_size that hold old data
 * @chunks:        chunks that writes have touched, of all devices
 * @copies:        pieces of old data that were copied
 * @copies_queued: of them, still in memory
 * @waits:         times that a writer had to wait for room in memory
 * @reserved:      zero
 *
 * Counted from the take. ESRCH: no such snapshot.
 */
struct blksnap_snapshot_statistics {
	struct blksnap_uuid id;
	__u64 storage_limit;
	__u64 storage_size;
	__u64 storage_used;
	__u64 chunks;
	__u64 copies;
	__u64 copies_queued;
	__u64 waits;
	__u64 reserved[7];
};

/*
 * Images can be read, and no more: opening one to write is EROFS, and to open
 * one exclusively, as who mounts it does, or makes a volume group or an array of
 * it, is EBUSY. So nobody takes an image for the device that it is of.
 */
#define BLKSNAP_TAKE_READ_ONLY (1U << 0)

/**
 * struct blksnap_snapshot_take - take a snapshot
 * @id:      the snapshot
 * @flags:   BLKSNAP_TAKE_*
 * @padding: zero
 *
 * Errors are those of BLKSNAP_IOCTL_SNAPSHOT_TAKE. EINVAL: a flag is not known.
 */
struct blksnap_snapshot_take {
	struct blksnap_uuid id;
	__u32 flags;
	__u32 padding;
};

#define BLKSNAP_IOCTL_VERSION _IOR(BLKSNAP_IOC_MAGIC, 0, struct blksnap_version)
/* EINVAL, ENOSPC and what opening the storage gives */
#define BLKSNAP_IOCTL_SNAPSHOT_CREATE \
	_IOWR(BLKSNAP_IOC_MAGIC, 1, struct blksnap_snapshot_create)
/* ENODEV: no such snapshot. Images that are open read EIO from then on. */
#define BLKSNAP_IOCTL_SNAPSHOT_DESTROY \
	_IOW(BLKSNAP_IOC_MAGIC, 2, struct blksnap_uuid)
/*
 * ESRCH no such snapshot; EALREADY it is taken; ENODEV it has no devices, or
 * one is gone; ETIMEDOUT a device did not answer in time; EBUSY an earlier take
 * still waits for a device, or the file of a loop device lies on another device
 * of the snapshot; EINTR the caller is being killed. The kernel's log names the
 * device. Nothing was taken.
 */
#define BLKSNAP_IOCTL_SNAPSHOT_TAKE \
	_IOW(BLKSNAP_IOC_MAGIC, 3, struct blksnap_uuid)
#define BLKSNAP_IOCTL_SNAPSHOT_COLLECT \
	_IOR(BLKSNAP_IOC_MAGIC, 4, struct blksnap_snapshot_collect)
#define BLKSNAP_IOCTL_SNAPSHOT_WAIT_EVENT \
	_IOR(BLKSNAP_IOC_MAGIC, 5, struct blksnap_snapshot_event)
#define BLKSNAP_IOCTL_FEATURES \
	_IOR(BLKSNAP_IOC_MAGIC, 128, struct blksnap_features)
#define BLKSNAP_IOCTL_SNAPSHOT_STATISTICS \
	_IOWR(BLKSNAP_IOC_MAGIC, 129, struct blksnap_snapshot_statistics)
#define BLKSNAP_IOCTL_SNAPSHOT_TAKE_FLAGS \
	_IOW(BLKSNAP_IOC_MAGIC, 130, struct blksnap_snapshot_take)

#endif /* _UAPI_BLKSNAP_H */
