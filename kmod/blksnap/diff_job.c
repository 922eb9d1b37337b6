// SPDX-License-Identifier: GPL-2.0
#include <linux/blkdev.h>
#include <linux/mempool.h>
#include <linux/slab.h>

#include "blkfilter.h"
#include "chunks.h"
#include "compat.h"
#include "diff_area.h"
#include "diff_copy.h"
#include "diff_job.h"
#include "diff_storage.h"

/* A job claims so much at a time: a huge discard must not fill the memory. */
#define JOB_WINDOW (4ULL << 20)
/* Jobs that can always be had. */
#define JOB_RESERVE 64

/* A range whose old data is to be safe, for a bio that was taken over. */
struct diff_job {
	struct diff_area *area;
	struct bio *bio;	 /* or NULL: an image write, */
	struct completion *done; /* which waits here */
	bool unlimited;		 /* never waits for room */
	u64 pos;	/* before it all is safe; bytes of the device */
	u64 claimed_to; /* before it all is claimed */
	u64 window_end; /* end of the window being claimed, or claimed_to */
	u64 end;
	u64 need;      /* granules of the chunk at claimed_to still to read */
	bool has_need; /* the chunk at claimed_to has been claimed */
	atomic_t pending; /* own reads under way, plus one while claiming */
	struct diff_job *next_waiter; /* diff_chunk.waiters */
	struct room_waiter waiter;    /* its work is the job's */
};

static struct kmem_cache *job_cache;
static mempool_t job_pool;

static void queue_job(struct diff_job *job)
{
	queue_work(job->area->job_queue, &job->waiter.work);
}

/* Marks granules safe, and queues the jobs that wait for this chunk. */
static void wake_waiters(struct diff_area *area, struct diff_chunk *chunk,
			 u64 now_safe)
{
	struct diff_job *job, *next;
	unsigned long flags;

	spin_lock_irqsave(&chunk->lock, flags);
	/* The data that was read is visible before the bits are. */
	smp_store_release(&chunk->safe, chunk->safe | now_safe);
	job = chunk->waiters;
	chunk->waiters = NULL;
	spin_unlock_irqrestore(&chunk->lock, flags);
	for (; job; job = next) {
		next = job->next_waiter;
		queue_job(job);
	}
}

static void copied(void *reader, struct diff_chunk *chunk, u64 granules,
		   int error)
{
	struct diff_job *job = reader;

	wake_waiters(job->area, chunk, error ? 0 : granules);
	if (atomic_dec_and_test(&job->pending))
		queue_job(job);
}

/* Image writes need all granules; others, those that are not excluded. */
static u64 wanted(const struct diff_job *job, const struct chunk_part *part)
{
	return job->bio ? part->mask & ~diff_area_excluded(job->area, part)
			: part->mask;
}

/* Starts to read granules that the job has claimed. EAGAIN: no room; ENOMEM. */
static int start_copy(struct diff_job *job, struct diff_chunk *chunk,
		      unsigned int first, unsigned int count, gfp_t gfp)
{
	int ret;

	if (!diff_area_get_room(job->area, job->unlimited))
		return -EAGAIN;
	atomic_inc(&job->pending);
	ret = diff_copy_start(job->area, chunk, first, count, gfp, copied, job);
	if (ret) {
		atomic_dec(&job->pending);
		diff_area_return_room(job->area);
	}
	return ret;
}

/* Starts to read job->need. EAGAIN: no room; ENOMEM. */
static int read_needed(struct diff_job *job, struct diff_chunk *chunk,
		       gfp_t gfp)
{
	unsigned int most =
		COPY_MAX_PAGES << PAGE_SHIFT >> job->area->granule_shift;

	while (job->need) {
		unsigned int first = __ffs64(job->need);
		u64 after = ~(job->need >> first);
		unsigned int count =
			min(after ? __ffs64(after) : 64U - first, most);
		int ret = start_copy(job, chunk, first, count, gfp);

		/* A smaller one may find memory. */
		if (ret == -ENOMEM && count > 1) {
			most = count / 2;
			continue;
		}
		if (ret)
			return ret;
		job->need &= ~granule_mask(first, count);
	}
	return 0;
}

static int claim_part(struct diff_job *job, const struct chunk_part *part,
		      gfp_t gfp)
{
	struct diff_chunk *chunk =
		chunk_get(&job->area->chunks, part->number, gfp);
	unsigned long flags;

	if (!chunk)
		return -ENOMEM;
	if (!job->has_need) {
		spin_lock_irqsave(&chunk->lock, flags);
		job->need = wanted(job, part) & ~chunk->claimed;
		chunk->claimed |= job->need;
		spin_unlock_irqrestore(&chunk->lock, flags);
		job->has_need = true;
	}
	return read_needed(job, chunk, gfp);
}

/* Continues to claim the window. EAGAIN: no room; ENOMEM. */
static int claim_window(struct diff_job *job, gfp_t gfp)
{
	struct blk_plug plug;
	int ret = 0;

	blk_start_plug(&plug);
	while (job->claimed_to < job->window_end) {
		struct chunk_part part =
			chunk_part(job->area, job->claimed_to, job->window_end);

		ret = claim_part(job, &part, gfp);
		if (ret)
			break;
		job->has_need = false;
		job->claimed_to = part.end;
	}
	blk_finish_plug(&plug);
	return ret;
}

/* The image is dead: releases jobs that wait for reads that will not happen. */
static void abandon_window(struct diff_job *job)
{
	u64 number = job->claimed_to >> job->area->chunk_shift;

	if (job->has_need && job->need)
		wake_waiters(job->area, chunk_find(&job->area->chunks, number),
			     0);
	job->has_need = false;
	job->window_end = job->claimed_to;
}

/* Returns false if the job now waits for another job's read. */
static bool window_is_safe(struct diff_job *job)
{
	struct diff_area *area = job->area;
	unsigned long flags;
	bool safe;

	while (job->pos < job->claimed_to) {
		struct chunk_part part =
			chunk_part(area, job->pos, job->claimed_to);
		struct diff_chunk *chunk =
			chunk_find(&area->chunks, part.number);
		u64 mask = wanted(job, &part);

		spin_lock_irqsave(&chunk->lock, flags);
		/* The error first: who sets it wakes the waiters afterwards. */
		safe = (chunk->safe & mask) == mask || READ_ONCE(area->error);
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

/* Returns true if the window is claimed and all own reads have ended. */
static bool claim(struct diff_job *job, bool may_wait)
{
	struct diff_area *area = job->area;
	int ret;

	if (job->window_end == job->claimed_to) {
		job->window_end = min(job->end, job->pos + JOB_WINDOW);
		atomic_set(&job->pending, 1);
	}
	ret = claim_window(job, may_wait ? GFP_NOIO : GFP_NOWAIT);
	if (!ret)
		return atomic_dec_and_test(&job->pending);
	/* The job may be done, and freed, before these return. */
	if (ret == -EAGAIN)
		diff_area_wait_for_room(area, &job->waiter);
	else if (may_wait)
		diff_area_wait_for_memory(area, &job->waiter);
	else
		queue_job(job);
	return false;
}

static void finish(struct diff_job *job)
{
	struct diff_area *area = job->area;

	if (job->bio)
		blkfilter_resubmit(job->bio);
	else
		complete(job->done);
	mempool_free(job, &job_pool);
	diff_area_end_job(area);
}

/* Runs the job until it waits or is done. @may_wait: may sleep for memory. */
static void job_step(struct diff_job *job, bool may_wait)
{
	struct diff_area *area = job->area;

	while (job->pos < job->end && !READ_ONCE(area->error)) {
		bool claimed = job->window_end == job->claimed_to &&
			       job->claimed_to > job->pos;

		if (!claimed && !claim(job, may_wait))
			return;
		if (READ_ONCE(area->error))
			break;
		if (!window_is_safe(job))
			return;
	}
	if (job->window_end != job->claimed_to) {
		abandon_window(job);
		if (!atomic_dec_and_test(&job->pending))
			return; /* its reads are under way */
	}
	finish(job);
}

static void job_work(struct work_struct *work)
{
	job_step(container_of(work, struct diff_job, waiter.work), true);
}

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
		.window_end = pos,
		.end = end,
	};
	INIT_WORK(&job->waiter.work, job_work);
	atomic_inc(&area->jobs);
	return job;
}

static bool all_safe(struct diff_area *area, u64 pos, u64 end)
{
	while (pos < end) {
		struct chunk_part part = chunk_part(area, pos, end);
		struct diff_chunk *chunk =
			chunk_find(&area->chunks, part.number);
		u64 unsafe = part.mask;

		if (likely(chunk))
			unsafe &= ~smp_load_acquire(&chunk->safe);
		if (unsafe && unsafe & ~diff_area_excluded(area, &part))
			return false;
		pos = part.end;
	}
	return true;
}

/*
 * A write by the storage's own thread to this device would be copied to the
 * storage again, without end, unless the parts that the storage lies in are
 * excluded.
 */
static bool stores_on_itself(const struct diff_area *area)
{
	return current == area->storage_writer && !area->nr_excluded;
}

/* noinline: a write to copied data then saves no registers for this. */
static noinline bool copy_first(struct diff_area *area, struct bio *bio,
				u64 pos, u64 end)
{
	/* Nested or NOWAIT: reads must be submitted by a worker. */
	bool hurry = current->bio_list || (bio->bi_opf & REQ_NOWAIT) ||
		     compat_plug_is_nowait();
	struct diff_job *job;

	if (unlikely(stores_on_itself(area))) {
		diff_area_fail(area, -EDEADLK,
			       "the difference storage lies on the device");
		return false;
	}
	/* The bio will be submitted later, by a worker that may wait. */
	bio_clear_polled(bio);
	bio->bi_opf &= ~REQ_NOWAIT;
	job = make_job(area, pos, end, GFP_NOWAIT | __GFP_NOWARN);
	if (!job) {
		blkfilter_defer(bio);
		return true;
	}
	job->bio = bio;
	/* A storage that waited for room would wait for a storage. */
	job->unlimited = diff_storage_is_writer();
	if (hurry)
		queue_job(job);
	else
		job_step(job, false);
	return true;
}

bool diff_job_cow(struct diff_area *area, struct bio *bio, sector_t sector,
		  sector_t count)
{
	u64 pos = (u64)sector << SECTOR_SHIFT;
	u64 end = min(pos + ((u64)count << SECTOR_SHIFT), area->capacity);

	if (READ_ONCE(area->error) || all_safe(area, pos, end))
		return false;
	return copy_first(area, bio, pos, end);
}

void diff_job_copy_range(struct diff_area *area, u64 pos, u64 end)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct diff_job *job = make_job(area, pos, end, GFP_NOIO);

	job->done = &done;
	job_step(job, true);
	wait_for_completion(&done);
}

/* ---- module ---- */

int diff_job_module_init(void)
{
	int ret;

	job_cache = KMEM_CACHE(diff_job, 0);
	if (!job_cache)
		return -ENOMEM;
	ret = mempool_init_slab_pool(&job_pool, JOB_RESERVE, job_cache);
	if (ret)
		kmem_cache_destroy(job_cache);
	return ret;
}

void diff_job_module_exit(void)
{
	mempool_exit(&job_pool);
	kmem_cache_destroy(job_cache);
}
