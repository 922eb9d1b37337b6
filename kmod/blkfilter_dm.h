/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tables of device-mapper, as "dmsetup table" prints them. No function tells
 * modules of a table; the ioctl does, into user memory, of which this maps some
 * for the time of the call. A table may have keys in it, so what is kept of it
 * is a number.
 */
#ifndef _BLKFILTER_DM_H
#define _BLKFILTER_DM_H

#include <linux/blkdev.h>

/* Before the others. */
void dm_init(void);

/* Returns whether device-mapper made the disk. */
bool dm_is_disk(const struct gendisk *disk);

/*
 * Returns a number that is equal for equal tables, and (but for 1 in 2^64) for
 * no others: of the live table of the device. 0 if it cannot be read: the
 * calling task has no user memory or no /dev/mapper/control, say. May sleep,
 * and does not wait for I/O: the device may be suspended.
 */
u64 dm_table_number(dev_t dev);

#endif /* _BLKFILTER_DM_H */
