/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Keeps the disk of an origin open while the image is open.
 *
 * Drivers assume that a disk that is not open has no I/O. The last close of a
 * loop device that is being detached puts its file, and a reset of zram frees
 * its pages, and neither waits for reads. The reader of an image has the image
 * open, and the origin only through this.
 *
 * A worker opens and closes the disk. It waits as long as the disk's driver
 * does; the caller waits for a limited time.
 */
#ifndef _BLKSNAP_ORIGIN_HOLD_H
#define _BLKSNAP_ORIGIN_HOLD_H

#include <linux/types.h>

struct origin_hold;

int origin_hold_module_init(void);
void origin_hold_module_exit(void);

/* Makes a closed hold of the disk @dev. NULL without memory. May sleep. */
struct origin_hold *origin_hold_alloc(dev_t dev);

/*
 * Opens the disk. One caller at a time for each hold. Returns 0; the error of
 * the open; ETIMEDOUT; EINTR; ECANCELED after origin_hold_cancel(). May sleep.
 */
int origin_hold_open(struct origin_hold *hold);

/* Closes the disk, if it is open. One caller at a time. May sleep. */
void origin_hold_close(struct origin_hold *hold);

/*
 * Ends the waiting of the two above, from now on. For a caller that is about to
 * wait for theirs. Any context.
 */
void origin_hold_cancel(struct origin_hold *hold);

/*
 * Drops the owner's reference, after origin_hold_close(). A worker may still
 * close the disk. Any context.
 */
void origin_hold_put(struct origin_hold *hold);

#endif /* _BLKSNAP_ORIGIN_HOLD_H */
