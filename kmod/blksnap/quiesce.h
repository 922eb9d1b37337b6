/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Finds and freezes the file systems that a take must not find in the middle of
 * a change: those mounted on its devices, on their partitions, and on disks
 * that device-mapper or md has made of them.
 */
#ifndef _BLKSNAP_QUIESCE_H
#define _BLKSNAP_QUIESCE_H

#include <linux/blkdev.h>
#include <linux/list.h>

#include "uapi/blksnap.h"

struct module;

/**
 * struct quiesce_target - a block device with what is mounted on it, or a file
 *                         system of several devices (btrfs)
 * @link:    in the list of quiesce_find()
 * @bdev:    referenced; of a file system of several devices, one of them
 * @driver:  of a disk above the member: referenced, so that it is not unloaded
 *           while @bdev is referenced. NULL: the caller of quiesce_find() holds
 *           the disk.
 * @sb:      the file system of several devices, with an active reference, or
 *           NULL
 * @height:  disks between the member and this; what is higher is frozen first
 * @carries: another target stands on this one
 * @how:     enum blksnap_quiesced_how, from quiesce_freeze() on
 */
struct quiesce_target {
	struct list_head link;
	struct block_device *bdev;
	struct module *driver;
	struct super_block *sb;
	unsigned int height;
	bool carries;
	u32 how;
};

/*
 * Adds all targets of @bdev, which the caller holds, to @targets. ENODEV: it is
 * a partition that is not there any more; ENOMEM. Waits for file systems, and
 * so runs in a worker.
 */
int quiesce_find(struct block_device *bdev, struct list_head *targets);

/* Frees the list, also after an error. */
void quiesce_forget(struct list_head *targets);

/* Writes back dirty pages and the file system. Waits for the device. */
void quiesce_sync(struct quiesce_target *target);

/*
 * Stops and writes back the file system, if there is one, or only writes back
 * where it cannot be stopped; target->how tells. Returns true if
 * quiesce_thaw() is due. Waits for the device.
 */
bool quiesce_freeze(struct quiesce_target *target);

/* May be called by another process than quiesce_freeze(). May sleep. */
void quiesce_thaw(struct quiesce_target *target);

/* The worst of them; for a device without any, nothing is mounted. */
u32 quiesce_worst(const struct list_head *targets);

#endif /* _BLKSNAP_QUIESCE_H */
