// SPDX-License-Identifier: GPL-2.0
/* Where the storage lies, and its space: opening, growing, giving room out. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "diff_storage.h"
#include "params.h"

/* All that are open; diff_storage.link. Nothing is taken inside. */
static DEFINE_MUTEX(storages_lock);
static LIST_HEAD(storages);

static struct inode *storage_inode(const struct diff_storage *storage)
{
	return storage->file->f_mapping->host;
}

static bool is_file(const struct diff_storage *storage)
{
	return S_ISREG(storage_inode(storage)->i_mode);
}

/* ---- space ---- */

static u64 portion_bytes(void)
{
	return round_down(max_t(u64,
				(u64)READ_ONCE(diff_storage_minimum)
					<< SECTOR_SHIFT,
				PAGE_SIZE),
			  PAGE_SIZE);
}

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
	return is_file(storage) && !storage->fixed &&
	       READ_ONCE(storage->size) < storage->limit &&
	       !READ_ONCE(storage->grow_error);
}

/* By one portion; one at a time, of the work item or before there is one. */
static void grow(struct diff_storage *storage)
{
	u64 more = min(portion_bytes(), storage->limit - storage->size);

	WRITE_ONCE(storage->grow_error, grow_to(storage, storage->size + more));
}

static void grow_work(struct work_struct *work)
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
	if (free_bytes(storage) < portion_bytes() / 2 && may_grow(storage))
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

		if (overlap(part, bdev) && (holder == sb || holder == sb->s_type))
			found = true;
	}
	rcu_read_unlock();
	return found;
}

/* Is any of the storage's file system on the device? */
static bool is_on(const struct diff_storage *storage, struct block_device *bdev)
{
	struct super_block *sb = storage_inode(storage)->i_sb;

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

	/* Who freezes, takes and thaws must not wait for himself. */
	if (storage_inode(storage)->i_sb->s_writers.frozen != SB_UNFROZEN) {
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
	if (!is_file(storage)) {
		pr_err("%pg: cannot be in a snapshot whose difference storage it is\n",
		       bdev);
		return -EBUSY;
	}
	/* What is known to stay in its place can be left out. */
	if (diff_storage_is_mapped(storage))
		return grow_for_good(storage);
	pr_err("%pg: holds the difference storage of the snapshot, in a file that its file system (%s) may move\n",
	       bdev, storage_inode(storage)->i_sb->s_type->name);
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
			(*ranges)[n++] = (struct device_range){ start, end };
	}
	sort(*ranges, n, sizeof(**ranges), compare_ranges, NULL);
	*count = n;
	return 0;
}

void diff_storage_statistics(const struct diff_storage *storage,
			     struct blksnap_snapshot_statistics *statistics)
{
	statistics->storage_limit = storage->limit;
	statistics->storage_size = is_file(storage) ?
		READ_ONCE(storage->size) : READ_ONCE(storage->capacity);
	statistics->storage_used = READ_ONCE(storage->filled);
}

/* ---- opening ---- */

/* Without O_DIRECT where the file system has none: tmpfs before 6.6. */
static struct file *open_direct(const char *path, int flags)
{
	struct file *file;

	flags |= O_RDWR | O_LARGEFILE;
	file = filp_open(path, flags | O_DIRECT, 0600);
	if (IS_ERR(file) && PTR_ERR(file) == -EINVAL)
		file = filp_open(path, flags, 0600);
	return file;
}

static struct file *open_storage(const char *path)
{
	struct path at;
	umode_t mode;
	int ret;

	ret = kern_path(path, LOOKUP_FOLLOW, &at);
	if (ret)
		return ERR_PTR(ret);
	mode = d_inode(at.dentry)->i_mode;
	path_put(&at);
	switch (mode & S_IFMT) {
	case S_IFDIR:
		/* Without a name: gone with the snapshot, whatever happens. */
		return open_direct(path, O_TMPFILE | O_EXCL);
	case S_IFREG:
	case S_IFBLK:
		/* Of a block device, O_EXCL claims it. */
		return open_direct(path, O_EXCL);
	default:
		return ERR_PTR(-EINVAL);
	}
}

/* The whole device is one extent. */
static int map_device(struct diff_storage *storage)
{
	struct inode *inode = storage_inode(storage);
	u64 size = min((u64)i_size_read(inode), storage->limit);
	struct file_extents *extents = &storage->extents;
	int ret;

	if (size < PAGE_SIZE)
		return -ENOSPC;
	/* What is cached must not be written over what we write. */
	ret = sync_blockdev(I_BDEV(inode));
	if (ret)
		return ret;
	invalidate_inode_pages2(inode->i_mapping);
	extents->list = kvmalloc(sizeof(*extents->list), GFP_KERNEL);
	if (!extents->list)
		return -ENOMEM;
	extents->bytes = round_down(size, PAGE_SIZE);
	extents->list[0] = (struct file_extent){ .length = extents->bytes };
	extents->count = 1;
	extents->bdev = I_BDEV(inode);
	storage->capacity = extents->bytes;
	return 0;
}

/* A file of at least a portion, without holes, and pinned where that works. */
static int map_file(struct diff_storage *storage, const char *name)
{
	u64 size = round_down(i_size_read(storage_inode(storage)), PAGE_SIZE);
	int ret;

	if (size > storage->limit)
		return -ENOSPC;
	size = max(size, min(portion_bytes(), storage->limit));
	ret = vfs_fallocate(storage->file, 0, 0, size);
	if (ret)
		return ret;
	storage->size = size;
	storage->capacity = size;
	ret = file_extents_pin(storage->file, &storage->extents);
	if (!ret) {
		storage->capacity = storage->extents.bytes;
		return 0;
	}
	/* It is somebody else's. */
	if (ret == -EBUSY || ret == -ETXTBSY)
		return ret;
	pr_info("difference storage %s: to be written through its file system, %s (%pe)\n",
		name, storage_inode(storage)->i_sb->s_type->name, ERR_PTR(ret));
	return 0;
}

static void unmap(struct diff_storage *storage)
{
	if (diff_storage_is_mapped(storage) && is_file(storage))
		file_extents_unpin(storage->file);
	file_extents_free(&storage->extents);
}

/*
 * O_EXCL claims a block device, but of a file it says nothing: two snapshots
 * must not write the same one.
 */
static int claim(struct diff_storage *storage)
{
	struct inode *inode = file_inode(storage->file);
	struct diff_storage *other;
	int ret = 0;

	/* What was looked up may not be what was opened. */
	if (!S_ISREG(inode->i_mode) && !S_ISBLK(inode->i_mode))
		return -EINVAL;
	mutex_lock(&storages_lock);
	list_for_each_entry(other, &storages, link)
		if (file_inode(other->file) == inode)
			ret = -EBUSY;
	if (!ret)
		list_add(&storage->link, &storages);
	mutex_unlock(&storages_lock);
	return ret;
}

static void unclaim(struct diff_storage *storage)
{
	mutex_lock(&storages_lock);
	list_del(&storage->link);
	mutex_unlock(&storages_lock);
}

struct diff_storage *diff_storage_open(const char __user *path,
				       u64 limit_sectors,
				       struct event_queue *events)
{
	struct diff_storage *storage;
	char *name;
	int ret;

	if (!limit_sectors || limit_sectors > (LLONG_MAX >> SECTOR_SHIFT))
		return ERR_PTR(-EINVAL);
	name = strndup_user(path, PATH_MAX);
	if (IS_ERR(name))
		return ERR_CAST(name);
	storage = kzalloc(sizeof(*storage), GFP_KERNEL);
	if (!storage) {
		ret = -ENOMEM;
		goto err_name;
	}
	storage->limit = round_down(min(limit_sectors << SECTOR_SHIFT,
					DIFF_STORAGE_MAX), PAGE_SIZE);
	storage->events = events;
	init_rwsem(&storage->extents_sem);
	INIT_WORK(&storage->grow_work, grow_work);
	spin_lock_init(&storage->lock);
	INIT_LIST_HEAD(&storage->queue);
	init_waitqueue_head(&storage->wake);
	copy_pages_init(&storage->pages);
	storage->file = open_storage(name);
	if (IS_ERR(storage->file)) {
		ret = PTR_ERR(storage->file);
		goto err_storage;
	}
	ret = claim(storage);
	if (ret)
		goto err_file;
	ret = is_file(storage) ? map_file(storage, name) : map_device(storage);
	if (ret) {
		pr_err("difference storage %s: cannot take it with a limit of %llu bytes: %pe\n",
		       name, storage->limit, ERR_PTR(ret));
		goto err_claim;
	}
	ret = diff_storage_start(storage);
	if (ret)
		goto err_map;
	kfree(name);
	return storage;

err_map:
	unmap(storage);
err_claim:
	unclaim(storage);
err_file:
	filp_close(storage->file, NULL);
err_storage:
	kfree(storage);
err_name:
	kfree(name);
	return ERR_PTR(ret);
}

void diff_storage_close(struct diff_storage *storage)
{
	diff_storage_stop(storage);
	cancel_work_sync(&storage->grow_work);
	unmap(storage);
	unclaim(storage);
	filp_close(storage->file, NULL);
	copy_pages_destroy(&storage->pages);
	kfree(storage);
}
