// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/slab.h>

#include "blkfilter.h"
#include "cbt_map.h"
#include "chunks.h"
#include "diff_area.h"
#include "diff_storage.h"
#include "params.h"

/* Jobs that wait for memory try again after that. */
#define MEMORY_JIFFIES (HZ / 50)

/* ---- room for copies ---- */

static unsigned int copies_limit(void)
{
	return max(READ_ONCE(chunk_maximum_in_queue), 1U);
}

bool diff_area_get_room(struct diff_area *area, bool unlimited)
{
	int copies = atomic_read(&area->copies);

	do {
		if (!unlimited && copies >= copies_limit())
			return false;
	} while (!atomic_try_cmpxchg(&area->copies, &copies, copies + 1));
	atomic_long_inc(&area->all_copies);
	return true;
}

/* Queues up to @count waiters. */
static void release_waiters(struct diff_area *area, unsigned int count)
{
	struct room_waiter *waiter, *next;

	lockdep_assert_held(&area->progress.lock);
	list_for_each_entry_safe(waiter, next, &area->waiters, link) {
		if (!count--)
			break;
		list_del(&waiter->link);
		queue_work(area->job_queue, &waiter->work);
	}
}

static void release_all_waiters(struct diff_area *area)
{
	unsigned long flags;

	spin_lock_irqsave(&area->progress.lock, flags);
	release_waiters(area, UINT_MAX);
	wake_up_all_locked(&area->progress);
	spin_unlock_irqrestore(&area->progress.lock, flags);
}

/*
 * Counts down jobs or copies. diff_area_drain() frees the area once it sees
 * both at 0, and takes the lock first: so this is out of it by then.
 */
static void count_down(struct diff_area *area, atomic_t *count,
		       unsigned int rooms)
{
	unsigned long flags;

	spin_lock_irqsave(&area->progress.lock, flags);
	area->ended++;
	atomic_dec(count);
	release_waiters(area, rooms);
	wake_up_all_locked(&area->progress);
	spin_unlock_irqrestore(&area->progress.lock, flags);
}

void diff_area_put_room(struct diff_area *area)
{
	count_down(area, &area->copies, 1);
}

/*
 * Releases no waiter: they would all fail for want of memory, one after the
 * other and without end. The caller waits for memory, and memory_work()
 * releases everybody.
 */
void diff_area_return_room(struct diff_area *area)
{
	atomic_long_dec(&area->all_copies);
	atomic_dec(&area->copies);
}

void diff_area_end_job(struct diff_area *area)
{
	count_down(area, &area->jobs, 0);
}

/* The image dies if jobs wait and no copy is stored for so long. */
static unsigned long stall_jiffies(void)
{
	return max(READ_ONCE(store_timeout), 1U) * HZ;
}

/*
 * Before a job begins to wait. The period starts anew only if a copy was stored
 * since it started: jobs that wait for memory come back every MEMORY_JIFFIES.
 * Under progress.lock.
 */
static void watch_for_stall(struct diff_area *area)
{
	lockdep_assert_held(&area->progress.lock);
	if (list_empty(&area->waiters) && area->ended != area->ended_before)
		mod_delayed_work(area->job_queue, &area->stall_work,
				 stall_jiffies());
	else if (!queue_delayed_work(area->job_queue, &area->stall_work,
				     stall_jiffies()))
		return;
	area->ended_before = area->ended;
}

static void wait_for(struct diff_area *area, struct room_waiter *waiter,
		     bool memory)
{
	unsigned long flags;

	spin_lock_irqsave(&area->progress.lock, flags);
	/* Both change before their waiters are released under this lock. */
	if (READ_ONCE(area->error) ||
	    (!memory && atomic_read(&area->copies) < copies_limit())) {
		queue_work(area->job_queue, &waiter->work);
	} else {
		area->waits++;
		watch_for_stall(area);
		list_add_tail(&waiter->link, &area->waiters);
		if (memory)
			queue_delayed_work(area->job_queue, &area->memory_work,
					   MEMORY_JIFFIES);
	}
	spin_unlock_irqrestore(&area->progress.lock, flags);
}

void diff_area_wait_for_room(struct diff_area *area, struct room_waiter *waiter)
{
	/* Before wait_for(): the job, and then the area, may be freed by it. */
	diff_storage_hurry(area->storage);
	wait_for(area, waiter, false);
}

void diff_area_wait_for_memory(struct diff_area *area,
			       struct room_waiter *waiter)
{
	/* Stored copies return their pages. */
	diff_storage_hurry(area->storage);
	wait_for(area, waiter, true);
}

static void memory_work(struct work_struct *work)
{
	release_all_waiters(container_of(to_delayed_work(work),
					 struct diff_area, memory_work));
}

/* The origin comes first: kills the image if the storage stands still. */
static void stall_work(struct work_struct *work)
{
	struct diff_area *area = container_of(to_delayed_work(work),
					      struct diff_area, stall_work);
	bool waiting, stalled;

	spin_lock_irq(&area->progress.lock);
	waiting = !list_empty(&area->waiters);
	stalled = waiting && area->ended == area->ended_before;
	area->ended_before = area->ended;
	spin_unlock_irq(&area->progress.lock);
	if (stalled)
		diff_area_fail(area, -ETIMEDOUT, "cannot copy old data");
	else if (waiting)
		queue_delayed_work(area->job_queue, &area->stall_work,
				   stall_jiffies());
}

/* ---- death ---- */

void diff_area_fail(struct diff_area *area, int error, const char *what)
{
	if (cmpxchg(&area->error, 0, error))
		return;
	pr_err("%pg: snapshot image corrupted: %s: %pe\n", area->bdev, what,
	       ERR_PTR(error));
	area->corrupted.code = BLKSNAP_EVENT_CODE_CORRUPTED;
	area->corrupted.data.corrupted = (struct blksnap_event_corrupted){
		.dev_id_mj = MAJOR(area->bdev->bd_dev),
		.dev_id_mn = MINOR(area->bdev->bd_dev),
		.err_code = -error,
	};
	event_post(area->events, &area->corrupted);
	release_all_waiters(area);
}

void diff_area_submit(struct diff_area *area, struct bio *bio)
{
	down_read(&area->origin_sem);
	if (area->origin_lost)
		bio_io_error(bio);
	else
		submit_bio_noacct(bio);
	up_read(&area->origin_sem);
}

/* ---- what the storage lies in ---- */

/* The first excluded range that ends behind @pos. */
static unsigned int first_excluded(const struct diff_area *area, u64 pos)
{
	unsigned int low = 0, high = area->nr_excluded;

	while (low < high) {
		unsigned int mid = low + (high - low) / 2;

		if (area->excluded[mid].end <= pos)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

u64 diff_area_find_excluded(const struct diff_area *area,
			    const struct chunk_part *part)
{
	u64 chunk = (u64)part->number << area->chunk_shift;
	u64 mask = 0, rest = part->mask;

	while (rest) {
		unsigned int granule = __ffs64(rest);
		u64 pos = chunk + ((u64)granule << area->granule_shift);
		u64 end = min(pos + (1ULL << area->granule_shift),
			      area->capacity);
		unsigned int i = first_excluded(area, pos);

		if (i < area->nr_excluded && area->excluded[i].start <= pos &&
		    area->excluded[i].end >= end)
			mask |= BIT_ULL(granule);
		rest &= rest - 1;
	}
	return mask;
}

void diff_area_zero_excluded(const struct diff_area *area, struct bio *bio,
			     struct bvec_iter iter, u64 pos, u64 end)
{
	unsigned int i;

	if (!area->nr_excluded)
		return;
	for (i = first_excluded(area, pos);
	     i < area->nr_excluded && area->excluded[i].start < end; i++) {
		u64 from = max(pos, area->excluded[i].start);
		struct bvec_iter at = iter;
		struct bio_vec bv;

		bio_advance_iter(bio, &at, from - pos);
		at.bi_size = min(end, area->excluded[i].end) - from;
		__bio_for_each_segment(bv, bio, at, at)
			memzero_bvec(&bv);
	}
}

void diff_area_mark_excluded(struct diff_area *area, struct cbt_map *map)
{
	unsigned int i;

	for (i = 0; i < area->nr_excluded; i++) {
		u64 start = area->excluded[i].start;

		cbt_map_mark_both(map, start >> SECTOR_SHIFT,
				  (area->excluded[i].end - start) >>
					  SECTOR_SHIFT);
	}
}

/* ---- life ---- */

static int create_tables(struct diff_area *area)
{
	int ret = diff_storage_ranges_on(area->storage, area->bdev,
					 &area->excluded, &area->nr_excluded);

	if (ret)
		return ret;
	ret = chunk_table_init(
		&area->chunks,
		DIV_ROUND_UP_ULL(area->capacity, 1ULL << area->chunk_shift));
	if (ret)
		goto err_excluded;
	/*
	 * Its own: jobs may wait for the store or the origin, and what those
	 * wait for may be jobs of another device.
	 */
	area->job_queue = alloc_workqueue(
		"blksnap_cow/%u:%u", WQ_MEM_RECLAIM | WQ_UNBOUND, 0,
		MAJOR(area->bdev->bd_dev), MINOR(area->bdev->bd_dev));
	if (area->job_queue)
		return 0;
	ret = -ENOMEM;
	chunk_table_destroy(&area->chunks);
err_excluded:
	kvfree(area->excluded);
	return ret;
}

struct diff_area *diff_area_create(struct block_device *bdev,
				   struct diff_storage *storage,
				   struct event_queue *events)
{
	struct diff_area *area = kzalloc(sizeof(*area), GFP_KERNEL);
	unsigned int smallest;
	int ret;

	if (!area)
		return ERR_PTR(-ENOMEM);
	area->bdev = bdev;
	area->disk = bdev_whole(bdev);
	area->start = (u64)bdev->bd_start_sect << SECTOR_SHIFT;
	area->storage = storage;
	area->storage_writer = storage->writer;
	area->events = events;
	area->capacity = bdev_nr_bytes(bdev);
	area->diskseq = bdev->bd_disk->diskseq;
	area->chunk_shift = blksnap_block_shift(
		area->capacity,
		clamp(chunk_minimum_shift, (unsigned int)PAGE_SHIFT, 26U),
		clamp(chunk_maximum_shift, (unsigned int)PAGE_SHIFT, 26U),
		1ULL << min(chunk_maximum_count_shift, 40U));
	/* 64 granules a chunk, but none below a page or a block. */
	smallest = max_t(unsigned int, PAGE_SHIFT,
			 ilog2(bdev_logical_block_size(bdev)));
	area->chunk_shift = max(area->chunk_shift, smallest);
	area->granule_shift = max(area->chunk_shift - 6, smallest);
	init_rwsem(&area->origin_sem);
	mutex_init(&area->map_lock);
	mutex_init(&area->overlay_lock);
	init_waitqueue_head(&area->progress);
	INIT_LIST_HEAD(&area->waiters);
	INIT_LIST_HEAD(&area->corrupted.link);
	INIT_DELAYED_WORK(&area->memory_work, memory_work);
	INIT_DELAYED_WORK(&area->stall_work, stall_work);
	ret = create_tables(area);
	if (ret) {
		kfree(area);
		return ERR_PTR(ret);
	}
	blkfilter_pin(area->bdev);
	return area;
}

void diff_area_add_statistics(const struct diff_area *area,
			      struct blksnap_snapshot_statistics *statistics)
{
	statistics->chunks += atomic_long_read(&area->chunks.count);
	statistics->copies += atomic_long_read(&area->all_copies);
	statistics->copies_queued += atomic_read(&area->copies);
	statistics->waits += READ_ONCE(area->waits);
}

static void let_go_of_origin(struct diff_area *area)
{
	down_write(&area->origin_sem);
	area->origin_lost = true;
	up_write(&area->origin_sem);
}

void diff_area_lose_origin(struct diff_area *area)
{
	diff_area_fail(area, -ENODEV, "the device was removed");
	let_go_of_origin(area);
}

void diff_area_stop(struct diff_area *area)
{
	/* Quietly: nothing went wrong. */
	cmpxchg(&area->error, 0, -ESHUTDOWN);
	release_all_waiters(area);
	let_go_of_origin(area);
}

void diff_area_drain(struct diff_area *area)
{
	diff_storage_hurry(area->storage);
	wait_event(area->progress,
		   !atomic_read(&area->jobs) && !atomic_read(&area->copies));
	/* The last one to count down is still inside. */
	spin_lock_irq(&area->progress.lock);
	spin_unlock_irq(&area->progress.lock);
}

void diff_area_destroy(struct diff_area *area)
{
	event_withdraw(area->events, &area->corrupted);
	cancel_delayed_work_sync(&area->memory_work);
	cancel_delayed_work_sync(&area->stall_work);
	destroy_workqueue(area->job_queue);
	chunk_table_destroy(&area->chunks);
	blkfilter_unpin(area->bdev);
	mutex_destroy(&area->overlay_lock);
	mutex_destroy(&area->map_lock);
	kvfree(area->excluded);
	kfree(area);
}
