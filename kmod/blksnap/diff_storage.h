/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The difference storage of a snapshot: a file or block device that old data
 * is appended to. One thread allocates the space and starts the writes, so
 * that the writers of the origin wait for no store.
 *
 * Where a file lies on a device is asked of its file system (file_extents.h),
 * and the device is written there: no journal, no lock and no frozen file
 * system is in the way. Files of which that cannot be known (tmpfs, network
 * and copy-on-write file systems) are written through their file system.
 */
#ifndef _BLKSNAP_DIFF_STORAGE_H
#define _BLKSNAP_DIFF_STORAGE_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/pagemap.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "copy_pages.h"
#include "events.h"
#include "file_extents.h"
#include "params.h"

struct store_item;
struct task_struct;

/**
 * struct store_item_ops - an item's callbacks
 * @error:  returns -errno if the item need not be stored any more, else 0
 * @place:  the item goes to @pos of the storage. Returns 0 or -errno. May sleep
 * @bio:    returns a bio that writes the item to @bdev, and frees it at its end
 * @vecs:   returns the item's data, for a storage that is written as a file
 * @stored: the item was stored, or not (-errno), and must free itself. Any
 * context
 *
 * The storage's thread calls @error, @place, and then @bio, or @vecs and
 * @stored.
 */
struct store_item_ops {
	int (*error)(struct store_item *item);
	int (*place)(struct store_item *item, u64 pos);
	struct bio *(*bio)(struct store_item *item, struct block_device *bdev);
	const struct bio_vec *(*vecs)(struct store_item *item,
				      unsigned int *nr);
	void (*stored)(struct store_item *item, int error);
};

/* Data to store, in whole pages; embedded by the caller. */
struct store_item {
	struct list_head link; /* diff_storage.queue */
	const struct store_item_ops *ops;
	u32 bytes;
};

/* Of a larger limit, no more is used: the bytes that a diff_piece can tell. */
#define DIFF_STORAGE_MAX (1ULL << 48)

/**
 * struct diff_storage - an open storage and its queue
 * @link:     in the list of all
 * @file:     regular file or block device
 * @limit:    bytes that it may take at most
 * @extents:  where it lies; no list if it is written through the file system.
 *            Changed under @extents_sem by a growth
 * @size:     of the file, bytes; grown up to @limit
 * @capacity: bytes that may be written now
 * @fixed:    it lies on a device of the snapshot, and does not grow any more
 * @filled:   bytes given out; the writer thread's alone
 * @grow_work: grows it ahead of need
 * @grow_error: what the last growth ended with
 * @writer:   the thread
 * @lock:     guards what follows; taken from interrupts
 * @queue:    what is to be stored, store_item.link
 * @queued_bytes: of them
 * @queued_items: how many
 * @hurry:    somebody waits for them
 * @wake:     the writer sleeps here
 * @pages:    for copies
 * @events:   of the snapshot
 * @no_space: posted when there is no room for a copy; the writer's alone
 */
struct diff_storage {
	struct list_head link;
	struct file *file;
	u64 limit;
	struct rw_semaphore extents_sem;
	struct file_extents extents;
	u64 size;
	u64 capacity;
	bool fixed;
	u64 filled;
	struct work_struct grow_work;
	int grow_error;
	struct task_struct *writer;
	spinlock_t lock;
	struct list_head queue;
	unsigned int queued_bytes;
	unsigned int queued_items;
	bool hurry;
	wait_queue_head_t wake;
	struct copy_pages pages;
	struct event_queue *events;
	struct event no_space;
	bool told_no_space;
};

int diff_storage_module_init(void);
void diff_storage_module_exit(void);

/*
 * Opens the path, a user-space pointer, as the caller sees it, and starts the
 * writer. ERR_PTR; see BLKSNAP_IOCTL_SNAPSHOT_CREATE for the errors.
 */
struct diff_storage *diff_storage_open(const char __user *path,
				       u64 limit_sectors,
				       struct event_queue *events);
/* The queue is empty and stays so. May sleep. */
void diff_storage_close(struct diff_storage *storage);

/*
 * @bdev is to be in the snapshot. If the storage is a file on it, it grows to
 * its limit and no more. EBUSY, and a line in the log that explains: the
 * storage is this device, or a file that is not known to stay where it is, or
 * whose file system is frozen. ENOSPC: no room to grow. May sleep, and does
 * I/O.
 */
int diff_storage_admit(struct diff_storage *storage, struct block_device *bdev);

/* Bytes [start, end) of a device. */
struct device_range {
	u64 start;
	u64 end;
};

/*
 * The parts of an admitted device that the storage lies in, by their start.
 * *count is 0 where it lies elsewhere. The caller frees *ranges with kvfree().
 */
int diff_storage_ranges_on(const struct diff_storage *storage,
			   struct block_device *bdev,
			   struct device_range **ranges, unsigned int *count);

/* Hands an item over to be stored: its ops->stored() is called then. Any
 * context. */
void diff_storage_enqueue(struct diff_storage *storage,
			  struct store_item *item);

/* Returns true in the thread of a storage, of any snapshot. */
bool diff_storage_is_writer(void);

/* Has queued items stored without delay: a caller waits. Any context. */
void diff_storage_hurry(struct diff_storage *storage);

/* Fills in what is of the storage. Any context. */
void diff_storage_statistics(const struct diff_storage *storage,
			     struct blksnap_snapshot_statistics *statistics);

/* Reads or writes @bytes at @pos, in whole pages. May sleep. */
int diff_storage_transfer(struct diff_storage *storage, struct page **pages,
			  unsigned int bytes, u64 pos, enum req_op op);

/* ---- for the files diff_storage*.c alone ---- */

static inline struct inode *
diff_storage_inode(const struct diff_storage *storage)
{
	return storage->file->f_mapping->host;
}

static inline bool diff_storage_is_file(const struct diff_storage *storage)
{
	return S_ISREG(diff_storage_inode(storage)->i_mode);
}

/* Bytes by which a file grows. */
static inline u64 diff_storage_portion(void)
{
	return round_down(
		max_t(u64, (u64)READ_ONCE(diff_storage_minimum) << SECTOR_SHIFT,
		      PAGE_SIZE),
		PAGE_SIZE);
}

/* Grows it by a portion; diff_storage.grow_work. */
void diff_storage_grow_work(struct work_struct *work);

static inline bool diff_storage_is_mapped(const struct diff_storage *storage)
{
	return storage->extents.list;
}

/*
 * Where the next @bytes go; ENOSPC, or why the file did not grow. For the
 * writer; may sleep, until the file has grown.
 */
int diff_storage_allocate(struct diff_storage *storage, unsigned int bytes,
			  u64 *pos);

/* Starts the writer; ends it, the queue being empty. */
int diff_storage_start(struct diff_storage *storage);
void diff_storage_stop(struct diff_storage *storage);

#endif /* _BLKSNAP_DIFF_STORAGE_H */
