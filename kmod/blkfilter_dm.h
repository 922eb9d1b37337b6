/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tables of device-mapper, as "dmsetup table" prints them. No function tells
 * modules of a table; the ioctl does, into user memory, of which this maps some
 * for the time of the call.
 */
#ifndef _BLKFILTER_DM_H
#define _BLKFILTER_DM_H

#include <linux/blkdev.h>

struct dm_text;

/* Returns whether device-mapper made the disk. */
bool dm_is_disk(const struct gendisk *disk);

/*
 * Reads the live table of the device. ERR_PTR: ENXIO, no such device; EIO, the
 * calling task has no user memory; errors of opening /dev/mapper/control. May
 * sleep, and does not wait for I/O: the device may be suspended.
 */
struct dm_text *dm_read_text(dev_t dev);
void dm_free_text(struct dm_text *text);

/* Both may be an ERR_PTR or NULL, which equals nothing. */
bool dm_text_equal(const struct dm_text *a, const struct dm_text *b);

#endif /* _BLKFILTER_DM_H */
