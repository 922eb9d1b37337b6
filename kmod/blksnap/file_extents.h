/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where on its block device a file lies, and keeping it there: as for a swap
 * file, by the file system's own means for that. While a file is pinned it
 * cannot be removed, renamed, truncated, written or moved by anybody; its
 * holder reads and writes the device at the extents, past the file system.
 */
#ifndef _BLKSNAP_FILE_EXTENTS_H
#define _BLKSNAP_FILE_EXTENTS_H

#include <linux/fs.h>

/* Bytes [pos, pos + length) of the file's usable pages lie at @start. */
struct file_extent {
	u64 pos;
	u64 length;
	u64 start; /* bytes, on the device */
};

/*
 * struct file_extents - all of a file
 * @bdev:  where it lies; held by the file
 * @list:  ordered by pos, without gaps, in whole pages
 * @bytes: sum of the lengths; pages that are not aligned on the device are
 *         left out, so it may be less than the file's size
 */
struct file_extents {
	struct block_device *bdev;
	struct file_extent *list;
	unsigned int count;
	u64 bytes;
};

/*
 * Pins @file, which has no holes, and fills @extents. May sleep, and does I/O.
 * EOPNOTSUPP, EINVAL: it lies on no single device, or the file system moves
 * what it stores; EBUSY: it is a swap file, or pinned; ETXTBSY: mapped for
 * writing.
 */
int file_extents_pin(struct file *file, struct file_extents *extents);

/*
 * After the pinned file has grown: the extents of all of it. What @old said
 * still holds, or EIO. @new has a list of its own.
 */
int file_extents_again(struct file *file, const struct file_extents *old,
		       struct file_extents *new);

/* The file is an ordinary one again. */
void file_extents_unpin(struct file *file);

void file_extents_free(struct file_extents *extents);

/*
 * Grows a pinned file to @size bytes: other ways are closed. May sleep.
 */
int file_extents_grow(struct file *file, u64 size);

/* The extent of byte @pos, which is within. */
const struct file_extent *file_extents_find(const struct file_extents *extents,
					    u64 pos);

#endif /* _BLKSNAP_FILE_EXTENTS_H */
