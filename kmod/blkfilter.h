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
#include "compat.h"

struct blkfilter_drain;
struct blkfilter_operations;
struct hooked_disk;

/* States of a filter; blkfilter_core.c has a table of the transitions. */
enum blkfilter_state {
	BLKFILTER_ATTACHED,
	BLKFILTER_LOST, /* its partition was removed, perhaps to be re-added */
	BLKFILTER_LEAVING, /* @gone is being called; holders are awaited */
	BLKFILTER_GONE,	   /* to be detached */
};

/**
 * struct blkfilter - one filter on one block device
 * @ops:  whose it is
 * @bdev: the device. Its memory and that of its disk are pinned; the device may
 *        go away, and its queue with it: see blkfilter_hold_device().
 * @sectors: writes to so many sectors are shown at least, also while @bdev is
 *        smaller: a partition that is shrunk and grown again is written to
 *        meanwhile by way of its disk. The filter's to set, with WRITE_ONCE(),
 *        and never lowered; 0 is allowed.
 *
 * Filters embed it. The rest is blkfilter's.
 */
struct blkfilter {
	const struct blkfilter_operations *ops;
	struct block_device *bdev;
	sector_t sectors;

	struct list_head link;	    /* hooked_disk.filters, while shown */
	bool shown;		    /* bios are; under disk_lock */
	struct hooked_disk *hooked; /* NULL once it is no longer shown bios */
	struct list_head
		attached; /* all_filters, and the next two: attached_lock */
	enum blkfilter_state state;
	unsigned int holders; /* blkfilter_hold_device() */
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
 * @gone:   the device is being removed, and its driver may be unloaded once
 * this returns: the filter must not start I/O to it afterwards. May be NULL.
 *          May sleep until I/O to the device has been submitted, but must not
 * take locks of the driver core. blkfilter_synchronize() waits for it as for
 *          @submit_bio.
 * @untracked: the disk is about to change in a way that @submit_bio is not
 *          shown, or may have changed when the machine was restored; @what says
 *          how, in words that follow the device's name, and stays. May be NULL.
 *          Any context, except NMI; blkfilter_synchronize() waits for it as for
 *          @submit_bio.
 * @detach: free the filter. No bio is in submit_bio() any more, and no other
 * call for this filter is under way. May sleep.
 * @ctl:    BLKFILTER_CTL. @optlen: in, bytes at @opt; out, bytes used. May
 * sleep.
 * @submit_bio: a write, discard, write-zeroes or secure erase is about to go
 *          down to @count sectors from @sector of the filter's device (what of
 *          the bio lies in it, or in its @sectors). False: let it pass. True:
 *          the filter has taken the bio over, and will blkfilter_resubmit() or
 *          end it. A bio comes by again when it was resubmitted, split or
 *          remapped: be idempotent. May sleep, but not on I/O if
 *          current->bio_list is set, or at all with REQ_NOWAIT.
 *
 * @attach, @busy, @moved and @ctl of all filters exclude each other, except
 * that several @ctl may run at once.
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
	void (*untracked)(struct blkfilter *flt, const char *what);
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
 * Like blkfilter_resubmit(), but from a worker of the bio's disk, in the order
 * of the calls: requeue at once, defer after a clock tick, for want of memory.
 * Not in interrupts.
 */
void blkfilter_requeue(struct bio *bio);
void blkfilter_defer(struct bio *bio);

/*
 * Waits until every submit_bio() and gone() of the filter's disk that was
 * running has returned; later ones do not delay it. Does nothing if
 * the filter is shown no bios any more. May sleep as long as a submission does.
 */
void blkfilter_synchronize(struct blkfilter *flt);

/*
 * The same in two steps, for callers that let a worker wait. The first returns
 * the disk, referenced, or NULL if the filter is shown no bios any more; not in
 * interrupts. The second waits, and puts the reference.
 */
struct hooked_disk *blkfilter_get_disk(struct blkfilter *flt);
void blkfilter_synchronize_disk(struct hooked_disk *disk);

/*
 * Waits for the writes to the filter's disk, whole disk and partitions, that
 * were let pass before blkfilter_drain_start(). Afterwards each of them is in
 * the request queue (which the caller can freeze), or has ended. Later writes
 * do not delay it.
 *
 * blkfilter_drain_alloc() returns NULL without memory, and may sleep; _start()
 * is called once, not in interrupts; _wait() returns 0, ETIMEDOUT at @deadline
 * (jiffies), or EINTR if the caller is being killed; _put() frees it as soon as
 * it is over, and ignores NULL.
 */
struct blkfilter_drain *blkfilter_drain_alloc(void);
void blkfilter_drain_start(struct blkfilter_drain *drain,
			   struct blkfilter *flt);
int blkfilter_drain_wait(struct blkfilter_drain *drain, unsigned long deadline);
void blkfilter_drain_put(struct blkfilter_drain *drain);

/*
 * Keeps the device, with its queue and driver, until it is released: its
 * removal waits, with locks of the driver core held. So the caller must be
 * brief, and must not add or remove devices meanwhile. False if the device is
 * being removed. Not in interrupts.
 */
bool blkfilter_hold_device(struct blkfilter *flt);
void blkfilter_release_device(struct blkfilter *flt);

/*
 * Pins the memory of a block_device and its gendisk, by their inodes. The
 * device may be removed all the same, with its queue and driver. (The last
 * reference on the device itself calls disk_release(), and so a driver that may
 * have been unloaded.) blkfilter_unpin() may sleep.
 */
static inline void blkfilter_pin(struct block_device *bdev)
{
	ihold(compat_bdev_inode(bdev));
	ihold(compat_bdev_inode(bdev_whole(bdev)));
}

static inline void blkfilter_unpin(struct block_device *bdev)
{
	struct inode *whole = compat_bdev_inode(bdev_whole(bdev));

	iput(compat_bdev_inode(bdev));
	iput(whole);
}

#endif /* _BLKFILTER_H */
