/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between the files of blkfilter.ko: what intercepts (blkfilter_hook.c), the
 * disks (blkfilter_disk.c), what decides (blkfilter_core.c).
 */
#ifndef _BLKFILTER_HOOK_H
#define _BLKFILTER_HOOK_H

#include <linux/hash.h>
#include <linux/percpu.h>
#include <linux/static_call.h>

#include "blkfilter.h"

/* Called for BLKFILTER_* on a block device; in blkfilter_core.c. */
long blkfilter_ioctl(struct block_device *bdev, unsigned int cmd,
		     void __user *arg);

/* ---- blkfilter_hook.c ---- */

/*
 * Hooks the ioctl functions; the bio path is left alone. May sleep. hook_exit()
 * removes them and waits until no task is in our code.
 */
int hook_init(void);
void hook_exit(void);

/* While there is a hooked disk. Callers exclude each other. May sleep. */
int hook_bio_path(void);
void unhook_bio_path(void);

/* Every replacement of a kernel function counts its calls, first and last. */
DECLARE_PER_CPU(long, calls_inside);

/*
 * Points past the fentry of submit_bio_noacct(), where a call is not traced.
 * Where the entry does not look as known, it points to the entry, and the
 * callback knows our calls by their return address.
 */
DECLARE_STATIC_CALL(original_submit_bio_noacct, submit_bio_noacct);

static __always_inline void call_original(struct bio *bio)
{
	static_call(original_submit_bio_noacct)(bio);
	/* Were this a jump, the return address would not be in this module. */
	barrier();
}

/* ---- blkfilter_disk.c ---- */

#define DISK_HASH_BITS 6
extern struct hlist_head hooked_disks[1 << DISK_HASH_BITS];

static __always_inline struct hlist_head *hooked_disk_bucket(struct gendisk *disk)
{
	return &hooked_disks[hash_ptr(disk, DISK_HASH_BITS)];
}

/* Or another disk of the bucket: needs no lock. */
static __always_inline bool disk_may_be_hooked(struct gendisk *disk)
{
	return READ_ONCE(hooked_disk_bucket(disk)->first);
}

/* In place of submit_bio_noacct(). */
void filtered_submit_bio(struct bio *bio);

/* disks_exit() waits until the last write that is followed has ended. */
int disks_init(void);
void disks_exit(void);

/*
 * Shows @flt the writes to its device from now on; the first one hooks the
 * bio path. Callers exclude each other. May sleep.
 */
int hook_add(struct blkfilter *flt);

/* Calls ops->gone as submit_bio is called. @flt is shown. Any context. */
void hook_call_gone(struct blkfilter *flt);

/*
 * No bio comes to @flt any more, though some may still be in submit_bio().
 * Once more does nothing. Any context.
 */
void hook_unpublish(struct blkfilter *flt);

/* Waits for those, and lets go of the disk. After hook_unpublish(). May sleep. */
void hook_remove(struct blkfilter *flt);

#endif /* _BLKFILTER_HOOK_H */
