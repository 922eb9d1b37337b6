// SPDX-License-Identifier: GPL-2.0
/* A storage: opened, taken from others, closed. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "diff_storage.h"

/* All that are open; diff_storage.link. Nothing is taken inside. */
static DEFINE_MUTEX(storages_lock);
static LIST_HEAD(storages);

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

/*
 * Bytes at the beginning and at the end of a device that are not written. Old
 * data there could be the label of a physical volume or of an array, and LVM or
 * mdadm would take the storage for the origin.
 */
static u64 margin_of(u64 size)
{
	return min_t(u64, SZ_1M, round_down(size / 8, PAGE_SIZE));
}

/* The device, without its margins, is one extent. */
static int map_device(struct diff_storage *storage)
{
	struct inode *inode = diff_storage_inode(storage);
	u64 margin = margin_of(i_size_read(inode));
	u64 size = min((u64)i_size_read(inode) - 2 * margin, storage->limit);
	struct file_extents *extents = &storage->extents;
	int ret;

	if (size < PAGE_SIZE)
		return -ENOSPC;
	if (bdev_logical_block_size(I_BDEV(inode)) > PAGE_SIZE) {
		pr_err("difference storage %pg: its blocks of %u bytes are larger than pages, take another device\n",
		       I_BDEV(inode), bdev_logical_block_size(I_BDEV(inode)));
		return -EINVAL;
	}
	/* What is cached must not be written over what we write. */
	ret = sync_blockdev(I_BDEV(inode));
	if (ret)
		return ret;
	invalidate_inode_pages2(inode->i_mapping);
	extents->list = kvmalloc(sizeof(*extents->list), GFP_KERNEL);
	if (!extents->list)
		return -ENOMEM;
	extents->bytes = round_down(size, PAGE_SIZE);
	extents->list[0] = (struct file_extent){
		.length = extents->bytes,
		.start = margin,
	};
	extents->count = 1;
	extents->bdev = I_BDEV(inode);
	storage->capacity = extents->bytes;
	return 0;
}

/* A file of at least a portion, without holes, and pinned where that works. */
static int map_file(struct diff_storage *storage, const char *name)
{
	u64 size =
		round_down(i_size_read(diff_storage_inode(storage)), PAGE_SIZE);
	int ret;

	if (size > storage->limit)
		return -ENOSPC;
	size = max(size, min(diff_storage_portion(), storage->limit));
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
		name, diff_storage_inode(storage)->i_sb->s_type->name,
		ERR_PTR(ret));
	return 0;
}

static void unmap(struct diff_storage *storage)
{
	if (diff_storage_is_mapped(storage) && diff_storage_is_file(storage))
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
	storage->limit =
		round_down(min(limit_sectors << SECTOR_SHIFT, DIFF_STORAGE_MAX),
			   PAGE_SIZE);
	storage->events = events;
	init_rwsem(&storage->extents_sem);
	INIT_WORK(&storage->grow_work, diff_storage_grow_work);
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
	ret = diff_storage_is_file(storage) ? map_file(storage, name)
					    : map_device(storage);
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

void diff_storage_statistics(const struct diff_storage *storage,
			     struct blksnap_snapshot_statistics *statistics)
{
	statistics->storage_limit = storage->limit;
	statistics->storage_size = diff_storage_is_file(storage)
					   ? READ_ONCE(storage->size)
					   : READ_ONCE(storage->capacity);
	statistics->storage_used = READ_ONCE(storage->filled);
}
