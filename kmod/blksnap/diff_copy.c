// SPDX-License-Identifier: GPL-2.0
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "chunks.h"
#include "diff_area.h"
#include "diff_copy.h"
#include "diff_storage.h"

/* ---- pages ---- */

/* So many single pages at most wait for the next copies. */
#define COPY_PAGES_KEPT (2U << 20 >> PAGE_SHIFT)

void copy_pages_init(struct copy_pages *pages)
{
	unsigned int order;

	spin_lock_init(&pages->lock);
	pages->count = 0;
	for (order = 0; order <= COPY_MAX_ORDER; order++)
		INIT_LIST_HEAD(&pages->free[order]);
}

static struct page *reuse_page(struct copy_pages *pages, unsigned int order)
{
	struct page *page;
	unsigned long flags;

	spin_lock_irqsave(&pages->lock, flags);
	page = list_first_entry_or_null(&pages->free[order], struct page, lru);
	if (page) {
		list_del(&page->lru);
		pages->count -= 1U << order;
	}
	spin_unlock_irqrestore(&pages->lock, flags);
	return page;
}

static void put_copy_page(struct copy_pages *pages, struct page *page)
{
	unsigned int order = compound_order(page);
	unsigned long flags;
	bool keep;

	spin_lock_irqsave(&pages->lock, flags);
	keep = pages->count < COPY_PAGES_KEPT;
	if (keep) {
		list_add(&page->lru, &pages->free[order]);
		pages->count += 1U << order;
	}
	spin_unlock_irqrestore(&pages->lock, flags);
	if (!keep)
		__free_pages(page, order);
}

void copy_pages_destroy(struct copy_pages *pages)
{
	struct page *page;
	unsigned int order;

	for (order = 0; order <= COPY_MAX_ORDER; order++)
		while ((page = reuse_page(pages, order)))
			__free_pages(page, order);
}

/* Who swaps may use the last reserves; a copy must not. */
#define COPY_GFP (__GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN)

static struct page *get_copy_page(struct copy_pages *pages, unsigned int order)
{
	struct page *page = reuse_page(pages, order);

	if (page)
		return page;
	/* Nobody works for a large page, a small one is waited for. */
	return order ? alloc_pages(COPY_GFP | __GFP_COMP, order) :
		       alloc_page(COPY_GFP | GFP_NOIO);
}

static void put_copy_pages(struct copy_pages *pages, struct list_head *list)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, list, lru)
		put_copy_page(pages, page);
}

/*
 * Memory for @count pages of data, in few pieces; waits for it, but not for
 * ever. How many pieces, or -ENOMEM.
 */
static int get_copy_pages(struct copy_pages *pages, unsigned int count,
			  struct list_head *list)
{
	unsigned int order = COPY_MAX_ORDER, tries = 0;
	int pieces = 0;

	while (count) {
		struct page *page;

		order = min_t(unsigned int, order, ilog2(count));
		page = get_copy_page(pages, order);
		if (page) {
			list_add_tail(&page->lru, list);
			count -= 1U << order;
			pieces++;
		} else if (order) {
			order--;
		} else {
			if (tries++ == 50) {
				put_copy_pages(pages, list);
				return -ENOMEM;
			}
			/* The store's writer frees some. */
			schedule_timeout_uninterruptible(HZ / 50);
		}
	}
	return pieces;
}

/* ---- a copy ---- */

static struct diff_copy *alloc_copy(struct diff_area *area,
				    struct diff_chunk *chunk,
				    unsigned int first, unsigned int count)
{
	struct copy_pages *pages = &area->storage->pages;
	struct diff_copy *copy;
	struct page *page;
	LIST_HEAD(list);
	int pieces;

	pieces = get_copy_pages(pages,
				count << area->granule_shift >> PAGE_SHIFT,
				&list);
	if (pieces < 0)
		return NULL;
	copy = kmalloc(struct_size(copy, vecs, pieces), COPY_GFP | GFP_NOIO);
	if (!copy) {
		put_copy_pages(pages, &list);
		return NULL;
	}
	copy->area = area;
	copy->chunk = chunk;
	copy->first = first;
	copy->count = count;
	copy->nr_vecs = 0;
	copy->bytes = count << area->granule_shift;
	list_for_each_entry(page, &list, lru)
		bvec_set_page(&copy->vecs[copy->nr_vecs++], page,
			      page_size(page), 0);
	bio_init(&copy->bio, NULL, copy->vecs, pieces, 0);
	atomic_inc(&area->copies);
	atomic_long_inc(&area->all_copies);
	return copy;
}

static void free_copy(struct diff_copy *copy)
{
	struct diff_area *area = copy->area;
	unsigned int i;

	for (i = 0; i < copy->nr_vecs; i++)
		put_copy_page(&area->storage->pages, copy->vecs[i].bv_page);
	bio_uninit(&copy->bio);
	kfree(copy);
	diff_area_count_down(area, &area->copies);
}

/* Of the device, bytes. */
static u64 copy_pos(const struct diff_copy *copy)
{
	return (copy->chunk->number << copy->area->chunk_shift) +
	       ((u64)copy->first << copy->area->granule_shift);
}

/* The copy's bio, anew. */
static struct bio *copy_bio(struct diff_copy *copy, struct block_device *bdev,
			    blk_opf_t opf, bio_end_io_t *end_io)
{
	bio_reset(&copy->bio, bdev, opf);
	copy->bio.bi_vcnt = copy->nr_vecs;
	copy->bio.bi_iter.bi_size = copy->bytes;
	copy->bio.bi_private = copy;
	copy->bio.bi_end_io = end_io;
	return &copy->bio;
}

/* The device ends within the copy: what follows must not be old memory. */
static void zero_behind(struct diff_copy *copy, unsigned int bytes)
{
	struct bvec_iter iter = { .bi_size = copy->bytes };
	struct bio_vec bv;

	bio_advance_iter(&copy->bio, &iter, bytes);
	__bio_for_each_segment(bv, &copy->bio, iter, iter)
		memzero_bvec(&bv);
}

static void copy_read_done(struct bio *bio)
{
	struct diff_copy *copy = bio->bi_private;
	struct diff_area *area = copy->area;
	int error = blk_status_to_errno(bio->bi_status);
	u64 pos = copy_pos(copy);

	diff_area_zero_excluded(area, bio,
				(struct bvec_iter){ .bi_size = copy->bytes },
				pos, pos + copy->bytes);
	/* A disk that goes fails its I/O before anybody is told. */
	if (error && test_bit(GD_DEAD, &area->disk->bd_disk->state))
		error = -ENODEV;
	if (error)
		diff_area_fail(area, error, "cannot read the origin");
	diff_job_copied(copy->job, copy->chunk,
			granule_mask(copy->first, copy->count), error);
	if (error)
		free_copy(copy);
	else
		diff_storage_enqueue(area->storage, copy);
}

int diff_copy_start(struct diff_job *job, struct diff_area *area,
		    struct diff_chunk *chunk, unsigned int first,
		    unsigned int count)
{
	struct diff_copy *copy = alloc_copy(area, chunk, first, count);
	struct bio *bio;
	u64 pos, rest;

	if (!copy)
		return -ENOMEM;
	copy->job = job;
	bio = copy_bio(copy, area->disk, REQ_OP_READ | REQ_SYNC, copy_read_done);
	pos = copy_pos(copy);
	bio->bi_iter.bi_sector = (area->start + pos) >> SECTOR_SHIFT;
	rest = area->capacity - pos;
	if (rest < copy->bytes) {
		zero_behind(copy, rest);
		bio->bi_iter.bi_size = rest;
	}
	submit_bio_noacct(bio);
	return 0;
}

/* ---- the way to the store ---- */

int diff_copy_place(struct diff_copy *copy, u64 pos)
{
	struct diff_piece piece = {
		.pos = pos,
		.first = copy->first,
		.count = copy->count,
	};

	/* Not looked at before the granules are stored. */
	return chunk_add_piece(copy->chunk, &piece, copy->area->granule_shift);
}

static void copy_write_done(struct bio *bio)
{
	diff_copy_stored(bio->bi_private, blk_status_to_errno(bio->bi_status));
}

struct bio *diff_copy_bio(struct diff_copy *copy, struct block_device *bdev)
{
	return copy_bio(copy, bdev, REQ_OP_WRITE | REQ_SYNC | REQ_IDLE,
			copy_write_done);
}

void diff_copy_stored(struct diff_copy *copy, int error)
{
	struct diff_chunk *chunk = copy->chunk;
	unsigned long flags;

	if (error) {
		diff_area_fail(copy->area, error, "cannot store old data");
	} else {
		spin_lock_irqsave(&chunk->lock, flags);
		chunk->stored |= granule_mask(copy->first, copy->count);
		spin_unlock_irqrestore(&chunk->lock, flags);
	}
	free_copy(copy);
}
