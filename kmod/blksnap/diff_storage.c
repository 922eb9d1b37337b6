// SPDX-License-Identifier: GPL-2.0
/*
 * One thread appends copies to the storage and tells their area where they
 * are. It runs with PF_LOCAL_THROTTLE and without I/O from reclaim: the pages
 * that the system wants to clean may wait for it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/falloc.h>
#include <linux/kthread.h>
#include <linux/namei.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "compat.h"
#include "diff_area.h"
#include "diff_storage.h"
#include "params.h"

/* All that are open; diff_storage.link. Nothing is taken inside. */
static DEFINE_MUTEX(storages_lock);
static LIST_HEAD(storages);

/* ---- space ---- */

static u64 portion_bytes(void)
{
	return max_t(u64, (u64)READ_ONCE(diff_storage_minimum) << SECTOR_SHIFT,
		     PAGE_SIZE);
}

/*
 * A file grows by portions, when less than half a portion is free, or less
 * than what is needed now.
 */
static int grow_if_short(struct diff_storage *storage, unsigned int bytes)
{
	u64 portion = portion_bytes();
	u64 want = max_t(u64, portion / 2, bytes);
	int ret = 0;

	if (!S_ISREG(file_inode(storage->file)->i_mode))
		return 0;
	while (!ret && storage->capacity - storage->filled < want &&
	       storage->capacity < storage->limit) {
		u64 more = min(portion, storage->limit - storage->capacity);

		ret = vfs_fallocate(storage->file, 0, storage->capacity, more);
		if (!ret)
			storage->capacity += more;
	}
	return ret;
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

/* Where the next @bytes go; ENOSPC, or why the file did not grow. */
static int allocate(struct diff_storage *storage, unsigned int bytes, u64 *pos)
{
	int ret = grow_if_short(storage, bytes);

	if (storage->capacity - storage->filled < bytes) {
		tell_no_space(storage, bytes);
		return ret ?: -ENOSPC;
	}
	*pos = storage->filled;
	storage->filled += bytes;
	return 0;
}

/* ---- I/O ---- */

static int transfer(struct diff_storage *storage, struct page **pages,
		    unsigned int bytes, loff_t pos, unsigned int direction)
{
	unsigned int nr = DIV_ROUND_UP(bytes, PAGE_SIZE), i;
	struct bio_vec *bvecs;
	struct iov_iter iter;
	ssize_t ret = 0;

	bvecs = kmalloc_array(nr, sizeof(*bvecs), GFP_NOIO);
	if (!bvecs)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		bvecs[i] = (struct bio_vec){ .bv_page = pages[i],
					     .bv_len = PAGE_SIZE };
	iov_iter_bvec(&iter, direction, bvecs, nr, bytes);
	while (iov_iter_count(&iter)) {
		ret = direction == WRITE ?
			compat_vfs_iter_write(storage->file, &iter, &pos) :
			vfs_iter_read(storage->file, &iter, &pos, 0);
		if (ret <= 0) {
			ret = ret ?: -EIO;
			break;
		}
	}
	kfree(bvecs);
	return ret < 0 ? ret : 0;
}

int diff_storage_read(struct diff_storage *storage, struct page **pages,
		      unsigned int bytes, loff_t pos)
{
	return transfer(storage, pages, bytes, pos, READ);
}

static void store(struct diff_storage *storage, struct diff_copy *copy)
{
	unsigned int bytes = diff_copy_bytes(copy);
	/* Of a dead image nothing is worth storing. */
	int ret = READ_ONCE(copy->area->error);
	u64 pos = 0;

	if (!ret)
		ret = allocate(storage, bytes, &pos);
	if (!ret)
		ret = transfer(storage, copy->pages, bytes, pos, WRITE);
	diff_copy_stored(copy, pos, ret);
}

static struct diff_copy *dequeue(struct diff_storage *storage)
{
	struct diff_copy *copy;

	spin_lock_irq(&storage->lock);
	copy = list_first_entry_or_null(&storage->queue, struct diff_copy, link);
	if (copy)
		list_del(&copy->link);
	spin_unlock_irq(&storage->lock);
	return copy;
}

void diff_storage_enqueue(struct diff_storage *storage, struct diff_copy *copy)
{
	unsigned long flags;

	spin_lock_irqsave(&storage->lock, flags);
	list_add_tail(&copy->link, &storage->queue);
	/* Under the lock: once it is stored, the storage may be closed. */
	wake_up(&storage->wake);
	spin_unlock_irqrestore(&storage->lock, flags);
}

static int writer_thread(void *data)
{
	struct diff_storage *storage = data;
	struct diff_copy *copy;

	memalloc_noio_save();
	current->flags |= PF_LOCAL_THROTTLE;
	for (;;) {
		wait_event_idle(storage->wake,
				!list_empty(&storage->queue) ||
					kthread_should_stop());
		copy = dequeue(storage);
		if (copy)
			store(storage, copy);
		else if (kthread_should_stop())
			return 0;
		cond_resched();
	}
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

static int measure(struct diff_storage *storage)
{
	struct inode *inode = storage->file->f_mapping->host;
	u64 size = round_down(i_size_read(inode), PAGE_SIZE);

	if (S_ISBLK(inode->i_mode)) {
		storage->capacity = min(size, storage->limit);
		return 0;
	}
	if (size > storage->limit)
		return -ENOSPC;
	storage->capacity = size;
	return grow_if_short(storage, 0);
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
	storage->limit = round_down(limit_sectors << SECTOR_SHIFT, PAGE_SIZE);
	storage->events = events;
	spin_lock_init(&storage->lock);
	INIT_LIST_HEAD(&storage->queue);
	init_waitqueue_head(&storage->wake);
	storage->file = open_storage(name);
	if (IS_ERR(storage->file)) {
		ret = PTR_ERR(storage->file);
		goto err_storage;
	}
	ret = claim(storage);
	if (ret)
		goto err_file;
	ret = measure(storage);
	if (ret) {
		pr_err("difference storage %s: cannot take it with a limit of %llu bytes: %pe\n",
		       name, storage->limit, ERR_PTR(ret));
		goto err_claim;
	}
	storage->writer = kthread_run(writer_thread, storage, "blksnap_store");
	if (IS_ERR(storage->writer)) {
		ret = PTR_ERR(storage->writer);
		goto err_claim;
	}
	kfree(name);
	return storage;

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
	kthread_stop(storage->writer);
	unclaim(storage);
	filp_close(storage->file, NULL);
	kfree(storage);
}

bool diff_storage_is_on(const struct diff_storage *storage,
			struct block_device *bdev)
{
	struct inode *inode = storage->file->f_mapping->host;
	struct block_device *at = S_ISBLK(inode->i_mode) ? I_BDEV(inode) :
							   inode->i_sb->s_bdev;

	if (!at || at->bd_disk != bdev->bd_disk)
		return false;
	return at == bdev || !bdev_is_partition(at) || !bdev_is_partition(bdev);
}
