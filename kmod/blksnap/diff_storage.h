/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The difference storage of a snapshot: a file or block device that old data
 * is appended to. One thread writes it, so that the writers of the origin wait
 * for no store, and a file system below may sleep and allocate.
 */
#ifndef _BLKSNAP_DIFF_STORAGE_H
#define _BLKSNAP_DIFF_STORAGE_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "events.h"

struct task_struct;

/**
 * struct diff_storage - an open storage and its queue
 * @link:     in the list of all
 * @file:     regular file or block device
 * @limit:    bytes that it may take at most
 * @capacity: bytes that may be written now; a file is grown up to @limit
 * @filled:   bytes given out. @capacity, @filled: the writer thread's alone
 * @writer:   the thread
 * @lock:     guards @queue; taken from interrupts
 * @queue:    copies that are to be stored, diff_copy.link
 * @wake:     the writer sleeps here
 * @events:   of the snapshot
 * @no_space: posted when there is no room for a copy; the writer's alone
 */
struct diff_storage {
	struct list_head link;
	struct file *file;
	u64 limit;
	u64 capacity;
	u64 filled;
	struct task_struct *writer;
	spinlock_t lock;
	struct list_head queue;
	wait_queue_head_t wake;
	struct event_queue *events;
	struct event no_space;
	bool told_no_space;
};

/*
 * Opens the path, a user-space pointer, as the caller sees it, and starts the
 * writer. ERR_PTR; see BLKSNAP_IOCTL_SNAPSHOT_CREATE for the errors.
 */
struct diff_storage *diff_storage_open(const char __user *path,
				       u64 limit_sectors,
				       struct event_queue *events);
/* The queue is empty and stays so. May sleep. */
void diff_storage_close(struct diff_storage *storage);

/* Is data of the storage kept on this device itself? */
bool diff_storage_is_on(const struct diff_storage *storage,
			struct block_device *bdev);

struct diff_copy;
/* Hands a copy over to be stored: diff_copy_stored() is called then. Any context. */
void diff_storage_enqueue(struct diff_storage *storage, struct diff_copy *copy);

/* Reads @bytes at @pos into @pages. May sleep. */
int diff_storage_read(struct diff_storage *storage, struct page **pages,
		      unsigned int bytes, loff_t pos);

#endif /* _BLKSNAP_DIFF_STORAGE_H */
