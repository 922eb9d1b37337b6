// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/mempool.h>
#include <linux/slab.h>

#include "blkfilter.h"
#include "cbt_map.h"
#include "chunks.h"
#include "compat.h"
#include "diff_area.h"
#include "diff_copy.h"
#include "diff_storage.h"
#include "params.h"

/* A job claims so much at a time: a huge discard must not fill the memory. */
#define JOB_WINDOW (4ULL << 20)
/* Writers wait so long for a store that does nothing; then the image dies. */
#define STALL_SECONDS 60
/* Jobs that can always be had. */
#define JOB_RESERVE 64

/* A range whose old data is to be safe, for a bio that was taken over. */
struct diff_job {
	struct diff_area *area;
	struct bio *bio;	 /* or NULL: an image write, */
	struct completion *done; /* which waits here */
	u64 pos;	   /* before it all is safe; bytes of the device */
	u64 claimed_to;	   /* before it all is claimed */
	u64 end;
	atomic_t pending;  /* own reads under way, plus one while claiming */
	struct diff_job *next_waiter; /* diff_chunk.waiters */
	struct work_struct work;
};

static struct kmem_cache *job_cache;
static mempool_t job_pool;

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
	wake_up_all(&area->progress);
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

/* Granules of the part that the storage has all of. */
static u64 find_excluded(const struct diff_area *area,
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

/* Mostly there are none, and every write asks. */
static inline u64 excluded_granules(const struct diff_area *area,
				    const struct chunk_part *part)
{
	return area->nr_excluded ? find_excluded(area, part) : 0;
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

/* ---- the path of a write ---- */

/*
 * Counts down jobs or copies. diff_area_drain() frees the area once it sees
 * both at 0, and takes the lock first: so this is out of it by then.
 */
void diff_area_count_down(struct diff_area *area, atomic_t *count)
{
	unsigned long flags;

	spin_lock_irqsave(&area->progress.lock, flags);
	atomic_dec(count);
	wake_up_all_locked(&area->progress);
	spin_unlock_irqrestore(&area->progress.lock, flags);
}

/* Granules became safe, or never will: who waits for them looks again. */
static void wake_waiters(struct diff_area *area, struct diff_chunk *chunk,
			 u64 now_safe)
{
	struct diff_job *job, *next;
	unsigned long flags;

	spin_lock_irqsave(&chunk->lock, flags);
	/* What was read is visible before the bits are. */
	smp_store_release(&chunk->safe, chunk->safe | now_safe);
	job = chunk->waiters;
	chunk->waiters = NULL;
	spin_unlock_irqrestore(&chunk->lock, flags);
	for (; job; job = next) {
		next = job->next_waiter;
		queue_work(area->job_queue, &job->work);
	}
}

void diff_job_copied(struct diff_job *job, struct diff_chunk *chunk,
		     u64 granules, int error)
{
	wake_waiters(job->area, chunk, error ? 0 : granules);
	if (atomic_dec_and_test(&job->pending))
		queue_work(job->area->job_queue, &job->work);
}

/* Memory that copies take is bounded; a store that stands still kills us. */
static int wait_for_room(struct diff_area *area)
{
	unsigned int limit = max(READ_ONCE(chunk_maximum_in_queue), 1U);

	if (atomic_read(&area->copies) < limit)
		return 0;
	atomic_long_inc(&area->waits);
	diff_storage_hurry(area->storage);
	if (wait_event_timeout(area->progress,
			       atomic_read(&area->copies) < limit ||
				       READ_ONCE(area->error),
			       STALL_SECONDS * HZ))
		return 0;
	return -ETIMEDOUT;
}

/* Reads granules of a chunk from the origin, claimed by this job. */
static int start_copy(struct diff_job *job, struct diff_chunk *chunk,
		      unsigned int first, unsigned int count)
{
	int ret = wait_for_room(job->area);

	if (ret)
		return ret;
	atomic_inc(&job->pending);
	ret = diff_copy_start(job, job->area, chunk, first, count);
	if (ret)
		atomic_dec(&job->pending);
	return ret;
}

/* An image write has to have all; the origin keeps no data where we do. */
static u64 wanted(const struct diff_job *job, const struct chunk_part *part)
{
	return job->bio ? part->mask & ~excluded_granules(job->area, part) :
			  part->mask;
}

static int claim_part(struct diff_job *job, const struct chunk_part *part)
{
	unsigned int max_count = COPY_MAX_PAGES <<
		PAGE_SHIFT >> job->area->granule_shift;
	struct diff_chunk *chunk = chunk_get(&job->area->chunks, part->number);
	unsigned long flags;
	u64 need;
	int ret = 0;

	if (!chunk) {
		diff_area_fail(job->area, -ENOMEM, "cannot copy old data");
		return -ENOMEM;
	}
	spin_lock_irqsave(&chunk->lock, flags);
	need = wanted(job, part) & ~chunk->claimed;
	chunk->claimed |= need;
	spin_unlock_irqrestore(&chunk->lock, flags);

	while (need && !ret) {
		unsigned int first = __ffs64(need);
		u64 after = ~(need >> first);
		unsigned int count = min(after ? __ffs64(after) : 64U - first,
					 max_count);

		ret = start_copy(job, chunk, first, count);
		need &= ~granule_mask(first, count);
	}
	/* What we claimed and will not read: nobody shall wait for it. */
	if (ret) {
		diff_area_fail(job->area, ret, "cannot copy old data");
		wake_waiters(job->area, chunk, 0);
	}
	return ret;
}

/* Claims the next window. False: reads are under way, the last one goes on. */
static bool claim_window(struct diff_job *job)
{
	u64 end = min(job->end, job->pos + JOB_WINDOW);
	struct blk_plug plug;
	u64 pos;

	atomic_set(&job->pending, 1);
	blk_start_plug(&plug);
	for (pos = job->pos; pos < end;) {
		struct chunk_part part = chunk_part(job->area, pos, end);

		if (claim_part(job, &part))
			break;
		pos = part.end;
	}
	job->claimed_to = end;
	blk_finish_plug(&plug);
	return atomic_dec_and_test(&job->pending);
}

/* False: the job waits for what another job reads, and is called again. */
static bool window_is_safe(struct diff_job *job)
{
	struct diff_area *area = job->area;
	unsigned long flags;
	bool safe;

	while (job->pos < job->claimed_to) {
		struct chunk_part part =
			chunk_part(area, job->pos, job->claimed_to);
		struct diff_chunk *chunk = chunk_find(&area->chunks, part.number);
		u64 mask = wanted(job, &part);

		spin_lock_irqsave(&chunk->lock, flags);
		/* The error first: who sets it wakes the waiters afterwards. */
		safe = (chunk->safe & mask) == mask ||
		       READ_ONCE(area->error);
		if (!safe) {
			job->next_waiter = chunk->waiters;
			chunk->waiters = job;
		}
		spin_unlock_irqrestore(&chunk->lock, flags);
		if (!safe)
			return false;
		job->pos = part.end;
	}
	return true;
}

/* As far as it goes without waiting; the last step lets the bio go. */
static void job_step(struct diff_job *job)
{
	struct diff_area *area = job->area;

	while (job->pos < job->end && !READ_ONCE(area->error)) {
		if (job->claimed_to == job->pos && !claim_window(job))
			return;
		if (READ_ONCE(area->error))
			break;
		if (!window_is_safe(job))
			return;
	}
	if (job->bio)
		blkfilter_resubmit(job->bio);
	else
		complete(job->done);
	mempool_free(job, &job_pool);
	diff_area_count_down(area, &area->jobs);
}

static void job_work(struct work_struct *work)
{
	job_step(container_of(work, struct diff_job, work));
}

/* There is always one to be had if @gfp may wait. */
static struct diff_job *make_job(struct diff_area *area, u64 pos, u64 end,
				 gfp_t gfp)
{
	struct diff_job *job = mempool_alloc(&job_pool, gfp);

	if (!job)
		return NULL;
	*job = (struct diff_job){
		.area = area,
		.pos = pos,
		.claimed_to = pos,
		.end = end,
	};
	INIT_WORK(&job->work, job_work);
	atomic_inc(&area->jobs);
	return job;
}

static bool all_safe(struct diff_area *area, u64 pos, u64 end)
{
	while (pos < end) {
		struct chunk_part part = chunk_part(area, pos, end);
		struct diff_chunk *chunk = chunk_find(&area->chunks, part.number);
		u64 mask = part.mask & ~excluded_granules(area, &part);

		if (mask && (!chunk ||
			     (smp_load_acquire(&chunk->safe) & mask) != mask))
			return false;
		pos = part.end;
	}
	return true;
}

bool diff_area_cow(struct diff_area *area, struct bio *bio, sector_t sector,
		   sector_t count)
{
	u64 pos = (u64)sector << SECTOR_SHIFT;
	u64 end = min(pos + ((u64)count << SECTOR_SHIFT), area->capacity);
	/* Not to sleep in: others wait for us, or do not want to wait. */
	bool hurry = current->bio_list || (bio->bi_opf & REQ_NOWAIT) ||
		     compat_plug_is_nowait();
	struct diff_job *job;

	if (READ_ONCE(area->error) || all_safe(area, pos, end))
		return false;
	/*
	 * The store's own data: copying it would make more of it. (Parts of
	 * granules that are excluded otherwise are well.)
	 */
	if (current == area->storage->writer && !area->nr_excluded) {
		diff_area_fail(area, -EDEADLK,
			       "the difference storage lies on the device");
		return false;
	}
	job = make_job(area, pos, end, hurry ? GFP_NOWAIT : GFP_NOIO);
	if (!job) {
		diff_area_fail(area, -ENOMEM, "cannot take a write over");
		return false;
	}
	job->bio = bio;
	/* It completes later and elsewhere, and there it may wait. */
	bio_clear_polled(bio);
	bio->bi_opf &= ~REQ_NOWAIT;
	if (hurry)
		queue_work(area->job_queue, &job->work);
	else
		job_step(job);
	return true;
}

void diff_area_copy_range(struct diff_area *area, u64 pos, u64 end)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct diff_job *job = make_job(area, pos, end, GFP_NOIO);

	job->done = &done;
	job_step(job);
	wait_for_completion(&done);
}

/* ---- life ---- */

static int create_tables(struct diff_area *area)
{
	int ret = diff_storage_ranges_on(area->storage, area->bdev,
					 &area->excluded, &area->nr_excluded);

	if (ret)
		return ret;
	ret = chunk_table_init(&area->chunks,
			       DIV_ROUND_UP_ULL(area->capacity,
						1ULL << area->chunk_shift));
	if (ret)
		goto err_excluded;
	/*
	 * Its own: jobs may wait for the store or the origin, and what those
	 * wait for may be jobs of another device.
	 */
	area->job_queue = alloc_workqueue("blksnap_cow/%u:%u",
					  WQ_MEM_RECLAIM | WQ_UNBOUND, 0,
					  MAJOR(area->bdev->bd_dev),
					  MINOR(area->bdev->bd_dev));
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
	int ret;

	if (!area)
		return ERR_PTR(-ENOMEM);
	area->bdev = bdev;
	area->disk = bdev_whole(bdev);
	area->start = (u64)bdev->bd_start_sect << SECTOR_SHIFT;
	area->storage = storage;
	area->events = events;
	area->capacity = bdev_nr_bytes(bdev);
	area->diskseq = bdev->bd_disk->diskseq;
	area->chunk_shift = blksnap_block_shift(area->capacity,
			clamp(chunk_minimum_shift, (unsigned int)PAGE_SHIFT, 26U),
			clamp(chunk_maximum_shift, (unsigned int)PAGE_SHIFT, 26U),
			1ULL << min(chunk_maximum_count_shift, 40U));
	/* 64 granules a chunk, but none below a page. */
	area->granule_shift = max(area->chunk_shift - 6, (unsigned int)PAGE_SHIFT);
	mutex_init(&area->map_lock);
	mutex_init(&area->overlay_lock);
	init_waitqueue_head(&area->progress);
	ret = create_tables(area);
	if (ret) {
		kfree(area);
		return ERR_PTR(ret);
	}
	get_device(&area->bdev->bd_device);
	get_device(&area->disk->bd_device);
	return area;
}

void diff_area_add_statistics(const struct diff_area *area,
			      struct blksnap_snapshot_statistics *statistics)
{
	statistics->chunks += atomic_long_read(&area->chunks.count);
	statistics->copies += atomic_long_read(&area->all_copies);
	statistics->copies_queued += atomic_read(&area->copies);
	statistics->waits += atomic_long_read(&area->waits);
}

void diff_area_stop(struct diff_area *area)
{
	/* Quietly: nothing went wrong. */
	cmpxchg(&area->error, 0, -ESHUTDOWN);
	wake_up_all(&area->progress);
}

void diff_area_drain(struct diff_area *area)
{
	diff_storage_hurry(area->storage);
	wait_event(area->progress, !atomic_read(&area->jobs) &&
					   !atomic_read(&area->copies));
	/* The last one to count down is still inside. */
	spin_lock_irq(&area->progress.lock);
	spin_unlock_irq(&area->progress.lock);
}

void diff_area_destroy(struct diff_area *area)
{
	destroy_workqueue(area->job_queue);
	chunk_table_destroy(&area->chunks);
	put_device(&area->bdev->bd_device);
	put_device(&area->disk->bd_device);
	mutex_destroy(&area->overlay_lock);
	mutex_destroy(&area->map_lock);
	kvfree(area->excluded);
	kfree(area);
}

int diff_area_module_init(void)
{
	int ret = chunks_module_init();

	if (ret)
		return ret;
	job_cache = KMEM_CACHE(diff_job, 0);
	ret = job_cache ? mempool_init_slab_pool(&job_pool, JOB_RESERVE,
						 job_cache) : -ENOMEM;
	if (!ret)
		return 0;
	kmem_cache_destroy(job_cache);
	chunks_module_exit();
	return ret;
}

void diff_area_module_exit(void)
{
	mempool_exit(&job_pool);
	kmem_cache_destroy(job_cache);
	chunks_module_exit();
}
