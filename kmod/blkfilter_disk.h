/* SPDX-License-Identifier: GPL-2.0 */
/* Disks with filters, and the way of a write past them. */
#ifndef _BLKFILTER_DISK_H
#define _BLKFILTER_DISK_H

#include "blkfilter.h"

struct mapped_device;

/* In place of submit_bio_noacct(). */
void filtered_submit_bio(struct bio *bio);

/* disks_exit() waits until the last write that is followed has ended. */
int disks_init(void);
void disks_exit(void);

/*
 * Shows @flt the writes to its device from now on; the first one hooks the
 * bio path. Callers exclude each other. May sleep.
 */
int disk_show_filter(struct blkfilter *flt);

/*
 * Waits, once for each disk that is not request-based, until the writes that
 * were submitted before its first filter was attached have ended: no bracket
 * and no flight covers them. New writes are put aside meanwhile. Of a disk of
 * device-mapper the table is remembered.
 * disk_to_settle() returns a referenced disk, or NULL if there is nothing to
 * wait for; call it under filters_sem, and disk_settle() without any lock and
 * with the device open. ETIMEDOUT after 10 s; EINTR if the caller is being
 * killed.
 */
struct hooked_disk *disk_to_settle(struct blkfilter *flt);
int disk_settle(struct hooked_disk *hd);

/* True if there is a filter on @disk or a partition. Under RCU. */
bool disk_has_filters(const struct gendisk *disk);

/*
 * Calls ops->untracked of all filters on @disk and its partitions, or on those
 * disks that @matches says. @disk may be NULL. Any context, except NMI.
 */
void disk_tell_untracked(const struct gendisk *disk, const char *what);
void disks_tell_untracked(bool (*matches)(const struct gendisk *disk,
					  const void *data),
			  const void *data, const char *what);

/*
 * The disk is about to have this size, perhaps the same: tells its filters if
 * its content may become another. Any context, except NMI.
 */
void disk_capacity_set(const struct gendisk *disk, sector_t sectors);

/*
 * The device has another table now, of which it is asked by the calling task:
 * tells the filters, unless it is equal to the one before. May sleep.
 */
void disk_table_replaced(const struct mapped_device *md);

/* Calls ops->gone as submit_bio is called. @flt is shown. May sleep. */
void disk_call_gone(struct blkfilter *flt);

/*
 * No bio comes to @flt any more, though some may still be in submit_bio().
 * Once more does nothing. Any context.
 */
void disk_hide_filter(struct blkfilter *flt);

/* Waits for those, and lets go of the disk. After disk_hide_filter(). May
 * sleep. */
void disk_remove_filter(struct blkfilter *flt);

#endif /* _BLKFILTER_DISK_H */
