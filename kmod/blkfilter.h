/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a filter module sees of blkfilter: register operations, and be called
 * for the writes to the devices that it is attached to.
 */
#ifndef _BLKFILTER_H
#define _BLKFILTER_H

#include <linux/blkdev.h>
#include <linux/list.h>
#include <linux/workqueue.h>

#include "uapi/blkfilter.h"

struct blkfilter_operations;
struct hooked_disk;

/**
 * struct blkfilter - one filter on one block device
 * @ops:  whose it is
 * @bdev: the device; its memory is pinned, the device itself may go away
 *
 * Filters embed it. The rest is blkfilter's.
 */
struct blkfilter {
	const struct blkfilter_operations *ops;
	struct block_device *bdev;

	struct list_head link;	    /* hooked_disk.filters, while shown */
	bool shown;		    /* bios are; under disk_lock */
	struct hooked_disk *hooked; /* NULL once it is no longer shown bios */
	struct list_head attached;  /* in one of blkfilter_core.c's lists */
};

/**
 * struct blkfilter_operations - a kind of filter
 * @owner:  pinned while attached anywhere
 * @name:   as in the ioctls
 * @attach: make a filter for @bdev. The caller fills struct blkfilter. Returns
 *          an ERR_PTR on failure. May sleep.
 * @busy:   errno if the filter must not be detached now, else 0. May sleep.
 * @moved:  the partition table was read anew, and the partition is @bdev now,
 *          with the same sectors. WRITE_ONCE() it to flt->bdev, under what
 *          guards the filter's own reads of it outside of @submit_bio and
 *          these calls. NULL if there are none. May sleep.
 * @gone:   the device was removed, and soon no bio will come any more. Must
 *          not sleep, and must not touch the device. May be NULL. What
 *          blkfilter_drain() protects in submit_bio() it protects here, too.
 * @detach: free the filter. No bio is in submit_bio() any more. May sleep.
 * @ctl:    BLKFILTER_CTL. @optlen: in, bytes at @opt; out, bytes used. May sleep.
 * @submit_bio: a write, discard, write-zeroes or secure erase is about to go
 *          down to @count sectors from @sector of the filter's device (what of
 *          the bio lies in it). False: let it pass. True: the filter has taken
 *          the bio over, and will blkfilter_resubmit() or end it. A bio comes
 *          by again when it was resubmitted, split or remapped: be idempotent.
 *          May sleep, but not on I/O if current->bio_list is set, or at all
 *          with REQ_NOWAIT.
 *
 * @attach, @busy, @moved, @detach and @ctl of all filters exclude each other,
 * except that several @ctl may run at once.
 */
struct blkfilter_operations {
	struct list_head link;
	struct module *owner;
	const char *name;

	struct blkfilter *(*attach)(struct block_device *bdev,
				    const void __user *opt, u32 optlen);
	int (*busy)(struct blkfilter *flt);
	void (*moved)(struct blkfilter *flt, struct block_device *bdev);
	void (*gone)(struct blkfilter *flt);
	void (*detach)(struct blkfilter *flt);
	int (*ctl)(struct blkfilter *flt, u32 cmd, void __user *opt,
		   u32 *optlen);
	bool (*submit_bio)(struct blkfilter *flt, struct bio *bio,
			   sector_t sector, sector_t count);
};

/* Of one disk: are they one partition, though perhaps made anew? */
static inline bool blkfilter_same_sectors(struct block_device *a,
					  struct block_device *b)
{
	return a->bd_start_sect == b->bd_start_sect &&
	       bdev_nr_sectors(a) == bdev_nr_sectors(b);
}

/* EEXIST if the name is taken. @ops stays the caller's. May sleep. */
int blkfilter_register(struct blkfilter_operations *ops);
/* Nothing of @ops may be attached: module references see to that. */
void blkfilter_unregister(struct blkfilter_operations *ops);

/*
 * Sends a bio down that submit_bio() took over, past all filters of its
 * device once more. Process context, current->bio_list not set; may sleep.
 */
void blkfilter_resubmit(struct bio *bio);

/*
 * Waits until no submit_bio() runs that was running when called; writes that
 * these let pass have been submitted. If the device is gone it does nothing.
 * May sleep; new writes do not delay it.
 */
void blkfilter_drain(struct blkfilter *flt);

/*
 * After that: writes that were let pass are now in a request queue (which can
 * be frozen), or have ended. This waits for the ends of all that may be queued
 * elsewhere, on any filter's part of the disk. ETIMEDOUT after @timeout jiffies;
 * ENOMEM. May sleep; new writes do not delay it.
 */
int blkfilter_drain_flights(struct blkfilter *flt, unsigned long timeout);

#endif /* _BLKFILTER_H */
