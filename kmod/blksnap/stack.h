/* SPDX-License-Identifier: GPL-2.0 */
/* Relations of block devices: device-mapper, md, partitions, loop devices. */
#ifndef _BLKSNAP_STACK_H
#define _BLKSNAP_STACK_H

#include <linux/blkdev.h>

/* Where recursion through layers of devices stops. */
#define STACK_MAX 8

/* Returns true if sysfs has a file, link or folder of this path. May sleep. */
bool stack_in_sysfs(const char *path);

/*
 * Calls @visit for each disk of device-mapper, md or bcache that uses this
 * device directly. The disk stays until @visit returns. The caller holds the
 * device. May sleep.
 */
void stack_visit_above(struct block_device *bdev,
		       void (*visit)(struct gendisk *upper, void *data),
		       void *data);

/*
 * Returns true if @bdev is a loop device whose file lies on @lower, directly or
 * through other devices. False for other devices, and if the file system has no
 * device of its own (btrfs, network file systems). The caller holds both
 * devices, and has an address space. May sleep.
 */
bool stack_loop_is_on(struct block_device *bdev, struct block_device *lower);

/*
 * Finds the request-based device-mapper disk that holds the device's disk, and
 * copies its name (DISK_NAME_LEN bytes). Returns false if there is none. May
 * sleep.
 */
bool stack_find_multipath(struct block_device *bdev, char *name);

#endif /* _BLKSNAP_STACK_H */
