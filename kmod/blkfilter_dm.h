/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tables of device-mapper, as "dmsetup table" prints them. No function tells
 * modules of a table; the ioctl does, into user memory, of which this maps some
 * for the time of the call. A table may have keys in it:
 * callers keep a hash of it.
 */
#ifndef _BLKFILTER_DM_H
#define _BLKFILTER_DM_H

#include <linux/blkdev.h>

/* Before the others. */
void dm_init(void);

/* Returns whether device-mapper made the disk. */
bool dm_is_disk(const struct gendisk *disk);

/*
 * Returns a keyed hash of the live table of the device. Equal tables have equal
 * hashes; two others do by a chance of 1 in 2^64. Returns 0 if the table cannot
 * be read: the calling task has no user memory, or no /dev/mapper/control. May
 * sleep. Does not wait for I/O, since the device may be suspended.
 */
u64 dm_table_number(dev_t dev);

#endif /* _BLKFILTER_DM_H */
