// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/mempool.h>
#include <linux/slab.h>

#include "blkfilter.h"
#include "diff_area.h"
#include "diff_storage.h"
#include "params.h"

/* A copy's read is one bio. */
#define COPY_MAX_PAGES BIO_MAX_VECS
/* A job claims so much at a time: a huge discard must not fill the memory. */
#define JOB_WINDOW (4ULL << 20)
/* Writers wait so long for a store that does nothing; then the image dies. */
#define STALL_SECONDS 60
/* Jobs that can always be had. */
#define JOB_RESERVE 64

/* A bio that was taken over, and how far its range is safe. */
struct diff_job {
	struct diff_area *area;
	struct bio *bio;
	u64 pos;	   /* before it all is safe; bytes of the device */
	u64 claimed_to;	   /* before it all is claimed */
	u64 end;
	atomic_t pending;  /* own reads under way, plus one while claiming */
	struct list_head wait; /* diff_chunk.waiters */
	struct work_struct work;
};

/* A part of a byte range that lies in one chunk. */
struct chunk_part {
	unsigned long number;
	u64 end;  /* of the part, bytes of the device */
	u64 mask; /* granules that it touches */
};

static struct kmem_cache *chunk_cache;
static struct kmem_cache *job_cache;
static mempool_t job_pool;
static struct bio_set read_bios;

static u64 granule_mask(unsigned int first, unsigned int count)
{
	return GENMASK_ULL(first + count - 1, first);
}

static unsigned int granule_of(const struct diff_area *area, u64 pos)
{
	return (pos & ((1ULL << area->chunk_shift) - 1)) >> area->granule_shift;
}

/* The part of [pos, end) in the chunk of pos. */
static struct chunk_part chunk_part(const struct diff_area *area, u64 pos,
				    u64 end)
{
	struct chunk_part part;
	unsigned int first;

	part.number = pos >> area->chunk_shift;
	part.end = min(end, (u64)(part.number + 1) << area->chunk_shift);
	first = granule_of(area, pos);
	part.mask = granule_mask(first,
				 granule_of(area, part.end - 1) - first + 1);
	return part;
}

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

/* ---- the path of a write ---- */

static struct diff_chunk *get_chunk(struct diff_area *area,
				    unsigned long number)
{
	struct diff_chunk *chunk = xa_load(&area->chunks, number);
	int ret;

	if (chunk)
		return chunk;
	chunk = kmem_cache_zalloc(chunk_cache, GFP_NOIO | __GFP_NOWARN);
	if (!chunk)
		return NULL;
	spin_lock_init(&chunk->lock);
	INIT_LIST_HEAD(&chunk->waiters);
	ret = xa_insert(&area->chunks, number, chunk, GFP_NOIO | __GFP_NOWARN);
	if (ret) {
		kmem_cache_free(chunk_cache, chunk);
		/* -EBUSY: somebody was quicker. */
		chunk = ret == -EBUSY ? xa_load(&area->chunks, number) : NULL;
	}
	return chunk;
}

/*
 * Counts down jobs or copies. diff_area_drain() frees the area once it sees
 * both at 0, and takes the lock first: so this is out of it by then.
 */
static void count_down(struct diff_area *area, atomic_t *count)
{
	unsigned long flags;

	spin_lock_irqsave(&area->progress.lock, flags);
	atomic_dec(count);
	wake_up_all_locked(&area->progress);
	spin_unlock_irqrestore(&area->progress.lock, flags);
}

static void free_copy(struct diff_copy *copy)
{
	struct diff_area *area = copy->area;
	unsigned int i;

	for (i = 0; i < copy->nr_pages; i++)
		__free_page(copy->pages[i]);
	kfree(copy);
	count_down(area, &area->copies);
}

/* Granules became safe, or never will: who waits for them looks again. */
static void wake_waiters(struct diff_area *area, struct diff_chunk *chunk,
			 u64 now_safe)
{
	struct diff_job *job, *next;
	unsigned long flags;
	LIST_HEAD(waiters);

	spin_lock_irqsave(&chunk->lock, flags);
	/* What was read is visible before the bits are. */
	smp_store_release(&chunk->safe, chunk->safe | now_safe);
	list_splice_init(&chunk->waiters, &waiters);
	spin_unlock_irqrestore(&chunk->lock, flags);
	list_for_each_entry_safe(job, next, &waiters, wait) {
		list_del_init(&job->wait);
		queue_work(area->job_queue, &job->work);
	}
}

static void job_read_done(struct diff_job *job)
{
	if (atomic_dec_and_test(&job->pending))
		queue_work(job->area->job_queue, &job->work);
}

static void copy_read_done(struct bio *bio)
{
	struct diff_copy *copy = bio->bi_private;
	struct diff_area *area = copy->area;
	struct diff_chunk *chunk = copy->chunk;
	struct diff_job *job = copy->job;
	u64 mask = granule_mask(copy->first, copy->count);
	blk_status_t status = bio->bi_status;

	bio_put(bio);
	if (status)
		diff_area_fail(area, blk_status_to_errno(status),
			       "cannot read the origin");
	wake_waiters(area, chunk, status ? 0 : mask);
	if (status)
		free_copy(copy);
	else
		diff_storage_enqueue(area->storage, copy);
	job_read_done(job);
}

/* Pages for a copy; waits for memory, but not for ever. */
static int fill_with_pages(struct diff_copy *copy)
{
	unsigned int tries = 0;

	while (copy->nr_pages < copy->room) {
		/* Who swaps may use the last reserves; a copy must not. */
		struct page *page = alloc_page(GFP_NOIO | __GFP_NORETRY |
					       __GFP_NOMEMALLOC | __GFP_NOWARN);

		if (page) {
			copy->pages[copy->nr_pages++] = page;
			continue;
		}
		if (tries++ == 50)
			return -ENOMEM;
		/* The store's writer frees some. */
		schedule_timeout_uninterruptible(HZ / 50);
	}
	return 0;
}

/* Memory that copies take is bounded; a store that stands still kills us. */
static int wait_for_room(struct diff_area *area)
{
	unsigned int limit = max(READ_ONCE(chunk_maximum_in_queue), 1U);

	if (atomic_read(&area->copies) < limit)
		return 0;
	if (wait_event_timeout(area->progress,
			       atomic_read(&area->copies) < limit ||
				       READ_ONCE(area->error),
			       STALL_SECONDS * HZ))
		return 0;
	return -ETIMEDOUT;
}

/* Starts to read granules of a chunk from the origin, claimed by this job. */
static int start_copy(struct diff_job *job, struct diff_chunk *chunk,
		      unsigned long number, unsigned int first,
		      unsigned int count)
{
	struct diff_area *area = job->area;
	u64 pos = ((u64)number << area->chunk_shift) +
		  ((u64)first << area->granule_shift);
	u64 bytes = min((u64)count << area->granule_shift,
			area->capacity - pos);
	unsigned int nr_pages = (count << area->granule_shift) >> PAGE_SHIFT;
	struct diff_copy *copy;
	struct bio *bio;
	unsigned int i;
	int ret;

	ret = wait_for_room(area);
	if (ret)
		return ret;
	copy = kzalloc(struct_size(copy, pages, nr_pages),
		       GFP_NOIO | __GFP_NOWARN);
	if (!copy)
		return -ENOMEM;
	copy->area = area;
	copy->chunk = chunk;
	copy->job = job;
	copy->first = first;
	copy->count = count;
	copy->room = nr_pages;
	atomic_inc(&area->copies);
	ret = fill_with_pages(copy);
	if (ret) {
		free_copy(copy);
		return ret;
	}
	bio = bio_alloc_bioset(area->bdev, nr_pages, REQ_OP_READ, GFP_NOIO,
			       &read_bios);
	bio->bi_iter.bi_sector = pos >> SECTOR_SHIFT;
	bio->bi_private = copy;
	bio->bi_end_io = copy_read_done;
	for (i = 0; i < nr_pages; i++) {
		unsigned int n = min_t(u64, bytes, PAGE_SIZE);

		/* The device ends here: what follows must not be old memory. */
		if (n < PAGE_SIZE)
			memzero_page(copy->pages[i], n, PAGE_SIZE - n);
		if (n)
			__bio_add_page(bio, copy->pages[i], n, 0);
		bytes -= n;
	}
	atomic_inc(&job->pending);
	submit_bio_noacct(bio);
	return 0;
}

static int claim_part(struct diff_job *job, const struct chunk_part *part)
{
	unsigned int max_count = COPY_MAX_PAGES <<
		PAGE_SHIFT >> job->area->granule_shift;
	struct diff_chunk *chunk = get_chunk(job->area, part->number);
	unsigned long flags;
	u64 need;
	int ret = 0;

	if (!chunk) {
		diff_area_fail(job->area, -ENOMEM, "cannot copy old data");
		return -ENOMEM;
	}
	spin_lock_irqsave(&chunk->lock, flags);
	need = part->mask & ~chunk->claimed;
	chunk->claimed |= need;
	spin_unlock_irqrestore(&chunk->lock, flags);

	while (need && !ret) {
		unsigned int first = __ffs64(need);
		u64 after = ~(need >> first);
		unsigned int count = min(after ? __ffs64(after) : 64U - first,
					 max_count);

		ret = start_copy(job, chunk, part->number, first, count);
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
		struct diff_chunk *chunk = xa_load(&area->chunks, part.number);

		spin_lock_irqsave(&chunk->lock, flags);
		/* The error first: who sets it wakes the waiters afterwards. */
		safe = (chunk->safe & part.mask) == part.mask ||
		       READ_ONCE(area->error);
		if (!safe)
			list_add_tail(&job->wait, &chunk->waiters);
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
	blkfilter_resubmit(job->bio);
	mempool_free(job, &job_pool);
	count_down(area, &area->jobs);
}

static void job_work(struct work_struct *work)
{
	job_step(container_of(work, struct diff_job, work));
}

static bool all_safe(struct diff_area *area, u64 pos, u64 end)
{
	while (pos < end) {
		struct chunk_part part = chunk_part(area, pos, end);
		struct diff_chunk *chunk = xa_load(&area->chunks, part.number);

		if (!chunk ||
		    (smp_load_acquire(&chunk->safe) & part.mask) != part.mask)
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
	bool hurry = current->bio_list || (bio->bi_opf & REQ_NOWAIT);
	struct diff_job *job;

	if (READ_ONCE(area->error) || all_safe(area, pos, end))
		return false;
	/* The store's own data: copying it would make more of it. */
	if (current == area->storage->writer) {
		diff_area_fail(area, -EDEADLK,
			       "the difference storage lies on the device");
		return false;
	}
	job = mempool_alloc(&job_pool, hurry ? GFP_NOWAIT : GFP_NOIO);
	if (!job) {
		diff_area_fail(area, -ENOMEM, "cannot take a write over");
		return false;
	}
	/* It completes later and elsewhere, and there it may wait. */
	bio_clear_polled(bio);
	bio->bi_opf &= ~REQ_NOWAIT;
	job->area = area;
	job->bio = bio;
	job->pos = pos;
	job->claimed_to = pos;
	job->end = end;
	INIT_LIST_HEAD(&job->wait);
	INIT_WORK(&job->work, job_work);
	atomic_inc(&area->jobs);
	if (hurry)
		queue_work(area->job_queue, &job->work);
	else
		job_step(job);
	return true;
}

/* ---- the way to the store ---- */

/* Under the chunk's lock; there is room. */
static void add_piece(struct diff_area *area, struct diff_chunk *chunk,
		      const struct diff_copy *copy, u64 pos)
{
	struct diff_piece *last = chunk->nr_pieces ?
		&chunk->pieces[chunk->nr_pieces - 1] : NULL;

	/* What a sequential writer leaves is one piece. */
	if (last && last->first + last->count == copy->first &&
	    last->pos + ((u64)last->count << area->granule_shift) == pos) {
		last->count += copy->count;
		return;
	}
	chunk->pieces[chunk->nr_pieces++] = (struct diff_piece){
		.pos = pos,
		.first = copy->first,
		.count = copy->count,
	};
}

/* Only the storage's writer adds pieces, so nobody else resizes the array. */
static int make_room_for_piece(struct diff_chunk *chunk)
{
	unsigned int room = chunk->room ? 2 * chunk->room : 1;
	struct diff_piece *bigger, *old;

	if (chunk->nr_pieces < chunk->room)
		return 0;
	bigger = kmalloc_array(room, sizeof(*bigger), GFP_NOIO | __GFP_NOWARN);
	if (!bigger)
		return -ENOMEM;
	spin_lock_irq(&chunk->lock);
	old = chunk->pieces;
	memcpy(bigger, old, chunk->nr_pieces * sizeof(*bigger));
	chunk->pieces = bigger;
	chunk->room = room;
	spin_unlock_irq(&chunk->lock);
	kfree(old);
	return 0;
}

void diff_copy_stored(struct diff_copy *copy, u64 pos, int error)
{
	struct diff_area *area = copy->area;
	struct diff_chunk *chunk = copy->chunk;

	if (!error)
		error = make_room_for_piece(chunk);
	if (error) {
		diff_area_fail(area, error, "cannot store old data");
	} else {
		spin_lock_irq(&chunk->lock);
		add_piece(area, chunk, copy, pos);
		chunk->stored |= granule_mask(copy->first, copy->count);
		spin_unlock_irq(&chunk->lock);
	}
	free_copy(copy);
}

/* ---- the image ---- */

#define STORE_READ_PAGES 64U

/* Copies [offset, offset + bytes) of @pages to @skip bytes into the bio. */
static void copy_to_bio(struct bio *bio, unsigned int skip,
			struct page **pages, unsigned int offset,
			unsigned int bytes)
{
	struct bvec_iter iter = bio->bi_iter;
	struct bio_vec bv;

	bio_advance_iter(bio, &iter, skip);
	iter.bi_size = bytes;
	__bio_for_each_segment(bv, bio, iter, iter) {
		unsigned int done = 0;

		while (done < bv.bv_len) {
			unsigned int in = offset_in_page(offset);
			unsigned int n = min_t(unsigned int, bv.bv_len - done,
					       PAGE_SIZE - in);

			memcpy_page(bv.bv_page, bv.bv_offset + done,
				    pages[offset >> PAGE_SHIFT], in, n);
			offset += n;
			done += n;
		}
	}
}

/* The piece that holds this granule; it is stored. */
static struct diff_piece find_piece(struct diff_chunk *chunk,
				    unsigned int granule)
{
	struct diff_piece found = {};
	unsigned int i;

	spin_lock_irq(&chunk->lock);
	for (i = 0; i < chunk->nr_pieces; i++) {
		struct diff_piece *piece = &chunk->pieces[i];

		if (granule >= piece->first &&
		    granule < piece->first + piece->count)
			found = *piece;
	}
	spin_unlock_irq(&chunk->lock);
	return found;
}

/*
 * From the store: as much of [pos, end) as one piece has. Through pages of our
 * own, since the store may ask for another alignment than the image's readers.
 * Bytes done, or -errno.
 */
static int read_stored(struct diff_area *area, struct diff_chunk *chunk,
		       struct bio *bio, u64 pos, u64 end, unsigned int skip)
{
	unsigned int granule = granule_of(area, pos);
	u64 base = pos & ~((1ULL << area->granule_shift) - 1);
	struct page *pages[STORE_READ_PAGES];
	unsigned int nr_pages, i, bytes, lead;
	struct diff_piece piece;
	int ret = 0;

	/* Safe, and perhaps still on its way. */
	wait_event(area->progress,
		   READ_ONCE(chunk->stored) & BIT_ULL(granule) ||
			   READ_ONCE(area->error));
	if (READ_ONCE(area->error))
		return -EIO;
	piece = find_piece(chunk, granule);
	/* Whole pages from a page boundary: at least the page of pos. */
	lead = (pos - base) & PAGE_MASK;
	bytes = ((piece.first + piece.count - granule) << area->granule_shift) -
		lead;
	bytes = min3(bytes, STORE_READ_PAGES << PAGE_SHIFT,
		     (unsigned int)round_up(end - (base + lead), PAGE_SIZE));
	nr_pages = bytes >> PAGE_SHIFT;
	for (i = 0; i < nr_pages; i++) {
		pages[i] = alloc_page(GFP_NOIO);
		if (!pages[i]) {
			nr_pages = i;
			ret = -ENOMEM;
			goto out;
		}
	}
	ret = diff_storage_read(area->storage, pages, bytes,
				piece.pos +
				((u64)(granule - piece.first)
				 << area->granule_shift) + lead);
	if (ret) {
		diff_area_fail(area, ret, "cannot read the difference storage");
		goto out;
	}
	lead = pos - base - lead;
	ret = min_t(u64, bytes - lead, end - pos);
	copy_to_bio(bio, skip, pages, lead, ret);
out:
	for (i = 0; i < nr_pages; i++)
		__free_page(pages[i]);
	return ret;
}

/* From the origin, into the bio's own pages. */
static int read_origin(struct diff_area *area, struct bio *bio, u64 pos,
		       unsigned int bytes, unsigned int skip)
{
	struct bio *clone = bio_alloc_clone(area->bdev, bio, GFP_NOIO,
					    &read_bios);
	int ret;

	bio_advance(clone, skip);
	clone->bi_iter.bi_size = bytes;
	clone->bi_iter.bi_sector = pos >> SECTOR_SHIFT;
	clone->bi_opf = REQ_OP_READ | (bio->bi_opf & REQ_SYNC);
	ret = submit_bio_wait(clone);
	bio_put(clone);
	return ret;
}

static u64 safe_granules(struct diff_area *area, unsigned long number)
{
	struct diff_chunk *chunk = xa_load(&area->chunks, number);

	return chunk ? smp_load_acquire(&chunk->safe) : 0;
}

/* Bytes of [pos, end) up to the first granule of the chunk in @mask. */
static u64 bytes_before(struct diff_area *area, u64 pos, u64 end, u64 mask)
{
	u64 stop;

	mask &= ~0ULL << granule_of(area, pos);
	if (!mask)
		return end - pos;
	stop = (pos >> area->chunk_shift << area->chunk_shift) +
	       ((u64)__ffs64(mask) << area->granule_shift);
	return stop <= pos ? 0 : min(stop, end) - pos;
}

blk_status_t diff_area_read(struct diff_area *area, struct bio *bio)
{
	u64 start = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	u64 end = start + bio->bi_iter.bi_size;
	u64 pos = start;

	while (pos < end && !READ_ONCE(area->error)) {
		struct chunk_part part = chunk_part(area, pos, end);
		u64 clean = bytes_before(area, pos, part.end,
					 safe_granules(area, part.number));
		int ret;

		if (!clean) {
			ret = read_stored(area,
					  xa_load(&area->chunks, part.number),
					  bio, pos, part.end, pos - start);
			if (ret < 0)
				return BLK_STS_IOERR;
			pos += ret;
			continue;
		}
		ret = read_origin(area, bio, pos, clean, pos - start);
		/* A dead image lets writes pass that it did not copy. */
		if (ret || READ_ONCE(area->error))
			return BLK_STS_IOERR;
		/* What became safe meanwhile may be new data: read again. */
		pos += bytes_before(area, pos, pos + clean,
				    safe_granules(area, part.number));
	}
	return pos < end ? BLK_STS_IOERR : BLK_STS_OK;
}

/* ---- life ---- */

struct diff_area *diff_area_create(struct block_device *bdev,
				   struct diff_storage *storage,
				   struct event_queue *events)
{
	struct diff_area *area = kzalloc(sizeof(*area), GFP_KERNEL);

	if (!area)
		return ERR_PTR(-ENOMEM);
	/*
	 * Its own: jobs may wait for the store or the origin, and what those
	 * wait for may be jobs of another device.
	 */
	area->job_queue = alloc_workqueue("blksnap_cow/%u:%u",
					  WQ_MEM_RECLAIM | WQ_UNBOUND, 0,
					  MAJOR(bdev->bd_dev),
					  MINOR(bdev->bd_dev));
	if (!area->job_queue) {
		kfree(area);
		return ERR_PTR(-ENOMEM);
	}
	area->bdev = bdev;
	get_device(&bdev->bd_device);
	area->storage = storage;
	area->events = events;
	area->capacity = bdev_nr_bytes(bdev);
	area->chunk_shift = blksnap_block_shift(area->capacity,
			clamp(chunk_minimum_shift, (unsigned int)PAGE_SHIFT, 26U),
			clamp(chunk_maximum_shift, (unsigned int)PAGE_SHIFT, 26U),
			1ULL << min(chunk_maximum_count_shift, 40U));
	/* 64 granules a chunk, but none below a page. */
	area->granule_shift = max(area->chunk_shift - 6, (unsigned int)PAGE_SHIFT);
	xa_init(&area->chunks);
	init_waitqueue_head(&area->progress);
	return area;
}

void diff_area_stop(struct diff_area *area)
{
	/* Quietly: nothing went wrong. */
	cmpxchg(&area->error, 0, -ESHUTDOWN);
	wake_up_all(&area->progress);
}

void diff_area_drain(struct diff_area *area)
{
	wait_event(area->progress, !atomic_read(&area->jobs) &&
					   !atomic_read(&area->copies));
	/* The last one to count down is still inside. */
	spin_lock_irq(&area->progress.lock);
	spin_unlock_irq(&area->progress.lock);
}

void diff_area_destroy(struct diff_area *area)
{
	struct diff_chunk *chunk;
	unsigned long number;

	destroy_workqueue(area->job_queue);
	xa_for_each(&area->chunks, number, chunk) {
		kfree(chunk->pieces);
		kmem_cache_free(chunk_cache, chunk);
	}
	xa_destroy(&area->chunks);
	put_device(&area->bdev->bd_device);
	kfree(area);
}

int diff_area_module_init(void)
{
	int ret = -ENOMEM;

	chunk_cache = KMEM_CACHE(diff_chunk, 0);
	if (!chunk_cache)
		return ret;
	job_cache = KMEM_CACHE(diff_job, 0);
	if (!job_cache)
		goto err_chunk_cache;
	ret = mempool_init_slab_pool(&job_pool, JOB_RESERVE, job_cache);
	if (ret)
		goto err_job_cache;
	ret = bioset_init(&read_bios, JOB_RESERVE, 0, BIOSET_NEED_BVECS);
	if (!ret)
		return 0;
	mempool_exit(&job_pool);
err_job_cache:
	kmem_cache_destroy(job_cache);
err_chunk_cache:
	kmem_cache_destroy(chunk_cache);
	return ret;
}

void diff_area_module_exit(void)
{
	bioset_exit(&read_bios);
	mempool_exit(&job_pool);
	kmem_cache_destroy(job_cache);
	kmem_cache_destroy(chunk_cache);
}
