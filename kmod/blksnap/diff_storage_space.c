// SPDX-License-Identifier: GPL-2.0
/* The room that a storage has: giving it out, growing, and on which device it
 * lies. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "diff_storage.h"

/* ---- space ---- */

/* Parts of the file that are no whole pages of the device are not used. */
static int grow_mapped(struct diff_storage *storage, u64 size)
{
	struct file_extents more, old;
	int ret;

	ret = file_extents_grow(storage->file, size);
	if (!ret)
		ret = file_extents_again(storage->file, &storage->extents,
					 &more);
	if (ret)
		return ret;
	down_write(&storage->extents_sem);
	old = storage->extents;
	storage->extents = more;
	WRITE_ONCE(storage->capacity, more.bytes);
	up_write(&storage->extents_sem);
	file_extents_free(&old);
	return 0;
}

static int grow_to(struct diff_storage *storage, u64 size)
{
	int ret;

	if (diff_storage_is_mapped(storage)) {
		ret = grow_mapped(storage, size);
	} else {
		ret = vfs_fallocate(storage->file, 0, storage->size,
				    size - storage->size);
		if (!ret)
			WRITE_ONCE(storage->capacity, size);
	}
	if (!ret)
		WRITE_ONCE(storage->size, size);
	return ret;
}

static bool may_grow(const struct diff_storage *storage)
{
	return diff_storage_is_file(storage) && !storage->fixed &&
	       READ_ONCE(storage->size) < storage->limit &&
	       !READ_ONCE(storage->grow_error);
}

/* By one portion; one at a time, of the work item or before there is one. */
static void grow(struct diff_storage *storage)
{
	u64 more = min(diff_storage_portion(), storage->limit - storage->size);

	WRITE_ONCE(storage->grow_error, grow_to(storage, storage->size + more));
}

void diff_storage_grow_work(struct work_struct *work)
{
	struct diff_storage *storage =
		container_of(work, struct diff_storage, grow_work);
	unsigned int noio = memalloc_noio_save();

	if (may_grow(storage))
		grow(storage);
	memalloc_noio_restore(noio);
}

static u64 free_bytes(const struct diff_storage *storage)
{
	return READ_ONCE(storage->capacity) - storage->filled;
}

static void tell_no_space(struct diff_storage *storage, unsigned int bytes)
{
	if (storage->told_no_space)
		return;
	storage->told_no_space = true;
	storage->no_space.code = BLKSNAP_EVENT_CODE_NO_SPACE;
	storage->no_space.data.no_space.requested_nr_sect =
		bytes >> SECTOR_SHIFT;
	event_post(storage->events, &storage->no_space);
}

/*
 * A file grows by portions when less than half a portion is free, and at once,
 * with the writer waiting, when there is no room.
 */
int diff_storage_allocate(struct diff_storage *storage, unsigned int bytes,
			  u64 *pos)
{
	if (free_bytes(storage) < bytes)
		WRITE_ONCE(storage->grow_error, 0); /* perhaps now */
	while (free_bytes(storage) < bytes && may_grow(storage)) {
		queue_work(system_long_wq, &storage->grow_work);
		flush_work(&storage->grow_work);
	}
	if (free_bytes(storage) < bytes) {
		tell_no_space(storage, bytes);
		return READ_ONCE(storage->grow_error) ?: -ENOSPC;
	}
	*pos = storage->filled;
	WRITE_ONCE(storage->filled, storage->filled + bytes);
	if (free_bytes(storage) < diff_storage_portion() / 2 &&
	    may_grow(storage))
		queue_work(system_long_wq, &storage->grow_work);
	return 0;
}

/* ---- where it lies ---- */

static bool overlap(struct block_device *a, struct block_device *b)
{
	if (a->bd_disk != b->bd_disk)
		return false;
	return a == b || !bdev_is_partition(a) || !bdev_is_partition(b);
}

/*
 * A file system of several devices (btrfs) does not say which they are, but
 * has claimed them, as itself or, before 6.6, as its kind.
 */
static bool is_claimed_by(struct block_device *bdev, struct super_block *sb)
{
	struct block_device *part;
	unsigned long idx;
	bool found = false;

	rcu_read_lock();
	xa_for_each(&bdev->bd_disk->part_tbl, idx, part) {
		void *holder = READ_ONCE(part->bd_holder);

		if (overlap(part, bdev) &&
		    (holder == sb || holder == sb->s_type))
			found = true;
	}
	rcu_read_unlock();
	return found;
}

/* Is any of the storage's file system on the device? */
static bool is_on(const struct diff_storage *storage, struct block_device *bdev)
{
	struct super_block *sb = diff_storage_inode(storage)->i_sb;

	if (diff_storage_is_mapped(storage))
		return overlap(storage->extents.bdev, bdev);
	return sb->s_bdev ? overlap(sb->s_bdev, bdev) : is_claimed_by(bdev, sb);
}

/*
 * Blocks that the file would be given later may hold data of the image: so it
 * gets all of them now.
 */
static int grow_for_good(struct diff_storage *storage)
{
	int ret = 0;

	/* A caller that froze it, and will take and thaw, would wait for
	 * itself. */
	if (diff_storage_inode(storage)->i_sb->s_writers.frozen !=
	    SB_UNFROZEN) {
		pr_err("difference storage: its file system is frozen, and it has to grow there\n");
		return -EBUSY;
	}
	WRITE_ONCE(storage->fixed, true);
	flush_work(&storage->grow_work);
	if (storage->size < storage->limit)
		ret = grow_to(storage, storage->limit);
	if (ret)
		pr_err("difference storage: cannot grow to its limit of %llu bytes, which it has to before a snapshot of its own device: %pe\n",
		       storage->limit, ERR_PTR(ret));
	return ret;
}

int diff_storage_admit(struct diff_storage *storage, struct block_device *bdev)
{
	if (!is_on(storage, bdev))
		return 0;
	if (!diff_storage_is_file(storage)) {
		pr_err("%pg: cannot be in a snapshot whose difference storage it is\n",
		       bdev);
		return -EBUSY;
	}
	/* What is known to stay in its place can be left out. */
	if (diff_storage_is_mapped(storage))
		return grow_for_good(storage);
	pr_err("%pg: holds the difference storage of the snapshot, in a file that its file system (%s) may move\n",
	       bdev, diff_storage_inode(storage)->i_sb->s_type->name);
	return -EBUSY;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct device_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

int diff_storage_ranges_on(const struct diff_storage *storage,
			   struct block_device *bdev,
			   struct device_range **ranges, unsigned int *count)
{
	struct block_device *at = storage->extents.bdev;
	u64 capacity = bdev_nr_bytes(bdev);
	unsigned int i, n = 0;
	s64 shift;

	*ranges = NULL;
	*count = 0;
	if (!diff_storage_is_mapped(storage) || !overlap(at, bdev))
		return 0;
	*ranges = kvmalloc_array(storage->extents.count, sizeof(**ranges),
				 GFP_KERNEL);
	if (!*ranges)
		return -ENOMEM;
	shift = ((s64)at->bd_start_sect - (s64)bdev->bd_start_sect)
		<< SECTOR_SHIFT;
	for (i = 0; i < storage->extents.count; i++) {
		s64 start = storage->extents.list[i].start + shift;
		s64 end = start + storage->extents.list[i].length;

		start = max(start, (s64)0);
		end = min(end, (s64)capacity);
		if (start < end)
			(*ranges)[n++] = (struct device_range){start, end};
	}
	sort(*ranges, n, sizeof(**ranges), compare_ranges, NULL);
	*count = n;
	return 0;
}
