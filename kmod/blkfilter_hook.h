/* SPDX-License-Identifier: GPL-2.0 */
/* Between the two files of blkfilter.ko: what intercepts, what decides. */
#ifndef _BLKFILTER_HOOK_H
#define _BLKFILTER_HOOK_H

#include "blkfilter.h"

/* Called for BLKFILTER_* on a block device; in blkfilter_core.c. */
long blkfilter_ioctl(struct block_device *bdev, unsigned int cmd,
		     void __user *arg);

/* Hooks the ioctl functions; the bio path is left alone. May sleep. */
int hook_init(void);
/* Removes all hooks and waits until no task is in our code. May sleep. */
void hook_exit(void);

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
