// SPDX-License-Identifier: GPL-2.0
/*
 * What is written to the storage and read from it. One thread appends items.
 * It runs with PF_LOCAL_THROTTLE and without I/O from reclaim: the pages that
 * the system wants to clean may wait for it.
 *
 * The thread lets items gather for a moment: writers who scatter small writes
 * over the origin leave old data that lies side by side in the store, and goes
 * there as one request. Who waits for it hurries the thread.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "compat.h"
#include "diff_storage.h"

#define SPLIT_RESERVE 16
/* So much, or so many, are not gathered further; nor after a clock tick. */
#define GATHERED_BYTES (1U << 20)
#define GATHERED_ITEMS 32

static struct bio_set split_bios;

/* The device's bytes at @pos, and how many follow there. */
static u64 place_of(struct diff_storage *storage, u64 pos, u64 *length)
{
	const struct file_extent *extent;
	u64 start = 0;

	*length = 0;
	down_read(&storage->extents_sem);
	extent = file_extents_find(&storage->extents, pos);
	if (!WARN_ON_ONCE(!extent)) {
		start = extent->start + (pos - extent->pos);
		*length = extent->pos + extent->length - pos;
	}
	up_read(&storage->extents_sem);
	return start;
}

/* Sends a bio to bytes @pos of the storage, in as many parts as it lies in. */
static void submit_at(struct diff_storage *storage, struct bio *bio, u64 pos)
{
	for (;;) {
		u64 length;
		u64 start = place_of(storage, pos, &length);
		struct bio *part;

		if (!length) {
			bio_io_error(bio);
			return;
		}
		if (length >= bio->bi_iter.bi_size) {
			bio->bi_iter.bi_sector = start >> SECTOR_SHIFT;
			submit_bio_noacct(bio);
			return;
		}
		part = bio_split(bio, length >> SECTOR_SHIFT, GFP_NOIO,
				 &split_bios);
		bio_chain(part, bio);
		part->bi_iter.bi_sector = start >> SECTOR_SHIFT;
		submit_bio_noacct(part);
		pos += length;
	}
}

static void transfer_done(struct bio *bio)
{
	complete(bio->bi_private);
}

static int transfer_mapped(struct diff_storage *storage, struct bio_vec *bvecs,
			   unsigned int nr, unsigned int bytes, u64 pos,
			   enum req_op op)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct bio bio;
	int ret;

	bio_init(&bio, storage->extents.bdev, bvecs, nr,
		 op | REQ_SYNC | (op_is_write(op) ? REQ_IDLE : 0));
	bio.bi_vcnt = nr;
	bio.bi_iter.bi_size = bytes;
	bio.bi_private = &done;
	bio.bi_end_io = transfer_done;
	submit_at(storage, &bio, pos);
	wait_for_completion_io(&done);
	ret = blk_status_to_errno(bio.bi_status);
	bio_uninit(&bio);
	return ret;
}

static int transfer_file(struct diff_storage *storage,
			 const struct bio_vec *bvecs, unsigned int nr,
			 unsigned int bytes, loff_t pos, enum req_op op)
{
	struct iov_iter iter;
	ssize_t ret;

	iov_iter_bvec(&iter, op_is_write(op) ? WRITE : READ, bvecs, nr, bytes);
	while (iov_iter_count(&iter)) {
		ret = op_is_write(op)
			      ? compat_vfs_iter_write(storage->file, &iter,
						      &pos)
			      : vfs_iter_read(storage->file, &iter, &pos, 0);
		if (ret <= 0)
			return ret ?: -EIO;
	}
	return 0;
}

int diff_storage_transfer(struct diff_storage *storage, struct page **pages,
			  unsigned int bytes, u64 pos, enum req_op op)
{
	unsigned int nr = DIV_ROUND_UP(bytes, PAGE_SIZE), i;
	struct bio_vec *bvecs;
	int ret;

	bvecs = kmalloc_array(nr, sizeof(*bvecs), GFP_NOIO);
	if (!bvecs)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		bvec_set_page(&bvecs[i], pages[i], PAGE_SIZE, 0);
	ret = diff_storage_is_mapped(storage)
		      ? transfer_mapped(storage, bvecs, nr, bytes, pos, op)
		      : transfer_file(storage, bvecs, nr, bytes, pos, op);
	kfree(bvecs);
	return ret;
}

static void store(struct diff_storage *storage, struct store_item *item)
{
	const struct store_item_ops *ops = item->ops;
	const struct bio_vec *vecs;
	unsigned int nr;
	u64 pos = 0;
	int ret = ops->error(item);

	if (!ret)
		ret = diff_storage_allocate(storage, item->bytes, &pos);
	if (!ret)
		ret = ops->place(item, pos);
	if (!ret && diff_storage_is_mapped(storage)) {
		submit_at(storage, ops->bio(item, storage->extents.bdev), pos);
		return;
	}
	if (!ret) {
		vecs = ops->vecs(item, &nr);
		ret = transfer_file(storage, vecs, nr, item->bytes, pos,
				    REQ_OP_WRITE);
	}
	ops->stored(item, ret);
}

/* ---- the queue ---- */

static bool is_due(struct diff_storage *storage)
{
	return READ_ONCE(storage->queued_bytes) >= GATHERED_BYTES ||
	       READ_ONCE(storage->queued_items) >= GATHERED_ITEMS ||
	       READ_ONCE(storage->hurry);
}

void diff_storage_enqueue(struct diff_storage *storage, struct store_item *item)
{
	unsigned long flags;
	bool was_due, first;

	spin_lock_irqsave(&storage->lock, flags);
	was_due = is_due(storage);
	first = list_empty(&storage->queue);
	list_add_tail(&item->link, &storage->queue);
	WRITE_ONCE(storage->queued_bytes, storage->queued_bytes + item->bytes);
	WRITE_ONCE(storage->queued_items, storage->queued_items + 1);
	/* Under the lock: once it is stored, the storage may be closed. */
	if (first || (!was_due && is_due(storage)))
		wake_up(&storage->wake);
	spin_unlock_irqrestore(&storage->lock, flags);
}

void diff_storage_hurry(struct diff_storage *storage)
{
	unsigned long flags;

	spin_lock_irqsave(&storage->lock, flags);
	WRITE_ONCE(storage->hurry, true);
	wake_up(&storage->wake);
	spin_unlock_irqrestore(&storage->lock, flags);
}

static void take_queue(struct diff_storage *storage, struct list_head *items)
{
	spin_lock_irq(&storage->lock);
	list_splice_tail_init(&storage->queue, items);
	WRITE_ONCE(storage->queued_bytes, 0);
	WRITE_ONCE(storage->queued_items, 0);
	WRITE_ONCE(storage->hurry, false);
	spin_unlock_irq(&storage->lock);
}

static int writer_thread(void *data)
{
	struct diff_storage *storage = data;
	struct store_item *item, *next;
	struct blk_plug plug;
	LIST_HEAD(items);

	memalloc_noio_save();
	current->flags |= PF_LOCAL_THROTTLE;
	for (;;) {
		wait_event_idle(storage->wake, !list_empty(&storage->queue) ||
						       kthread_should_stop());
		wait_event_idle_timeout(
			storage->wake, is_due(storage) || kthread_should_stop(),
			1);
		take_queue(storage, &items);
		if (list_empty(&items) && kthread_should_stop())
			return 0;
		blk_start_plug(&plug);
		list_for_each_entry_safe(item, next, &items, link) {
			list_del(&item->link);
			store(storage, item);
		}
		blk_finish_plug(&plug);
		cond_resched();
	}
}

bool diff_storage_is_writer(void)
{
	return current->flags & PF_KTHREAD &&
	       kthread_func(current) == writer_thread;
}

int diff_storage_start(struct diff_storage *storage)
{
	storage->writer = kthread_run(writer_thread, storage, "blksnap_store");
	return PTR_ERR_OR_ZERO(storage->writer);
}

void diff_storage_stop(struct diff_storage *storage)
{
	kthread_stop(storage->writer);
}

/* ---- module ---- */

int diff_storage_module_init(void)
{
	return bioset_init(&split_bios, SPLIT_RESERVE, 0, 0);
}

void diff_storage_module_exit(void)
{
	bioset_exit(&split_bios);
}
