// SPDX-License-Identifier: GPL-2.0
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "chunks.h"
#include "copy_pages.h"
#include "diff_area.h"
#include "diff_copy.h"
#include "diff_storage.h"

/* ---- a copy ---- */

static const struct store_item_ops copy_ops;

static struct diff_copy *alloc_copy(struct diff_area *area,
				    struct diff_chunk *chunk,
				    unsigned int first, unsigned int count,
				    gfp_t gfp)
{
	struct copy_pages *pages = &area->storage->pages;
	struct diff_copy *copy;
	struct page *page;
	LIST_HEAD(list);
	int pieces;

	pieces = copy_pages_get(
		pages, count << area->granule_shift >> PAGE_SHIFT, gfp, &list);
	if (pieces < 0)
		return NULL;
	copy = kmalloc(struct_size(copy, vecs, pieces), COPY_GFP | gfp);
	if (!copy) {
		copy_pages_put_list(pages, &list);
		return NULL;
	}
	copy->item.ops = &copy_ops;
	copy->item.bytes = count << area->granule_shift;
	copy->area = area;
	copy->chunk = chunk;
	copy->first = first;
	copy->count = count;
	copy->nr_vecs = 0;
	list_for_each_entry(page, &list, lru)
		bvec_set_page(&copy->vecs[copy->nr_vecs++], page,
			      page_size(page), 0);
	bio_init(&copy->bio, NULL, copy->vecs, pieces, 0);
	return copy;
}

static void free_copy(struct diff_copy *copy)
{
	struct diff_area *area = copy->area;
	unsigned int i;

	for (i = 0; i < copy->nr_vecs; i++)
		copy_pages_put(&area->storage->pages, copy->vecs[i].bv_page);
	bio_uninit(&copy->bio);
	kfree(copy);
	diff_area_put_room(area);
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
	copy->bio.bi_iter.bi_size = copy->item.bytes;
	copy->bio.bi_private = copy;
	copy->bio.bi_end_io = end_io;
	return &copy->bio;
}

/* The device ends within the copy: what follows must not be old memory. */
static void zero_behind(struct diff_copy *copy, unsigned int bytes)
{
	struct bvec_iter iter = {.bi_size = copy->item.bytes};
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
				(struct bvec_iter){.bi_size = copy->item.bytes},
				pos, pos + copy->item.bytes);
	/* A disk that goes fails its I/O before anybody is told. */
	if (error && test_bit(GD_DEAD, &area->disk->bd_disk->state))
		error = -ENODEV;
	if (error)
		diff_area_fail(area, error, "cannot read the origin");
	copy->read_done(copy->reader, copy->chunk,
			granule_mask(copy->first, copy->count), error);
	if (error)
		free_copy(copy);
	else
		diff_storage_enqueue(area->storage, &copy->item);
}

int diff_copy_start(struct diff_area *area, struct diff_chunk *chunk,
		    unsigned int first, unsigned int count, gfp_t gfp,
		    diff_copy_read_done_t *read_done, void *reader)
{
	struct diff_copy *copy = alloc_copy(area, chunk, first, count, gfp);
	struct bio *bio;
	u64 pos, rest;

	if (!copy)
		return -ENOMEM;
	copy->read_done = read_done;
	copy->reader = reader;
	bio = copy_bio(copy, area->disk, REQ_OP_READ | REQ_SYNC,
		       copy_read_done);
	pos = copy_pos(copy);
	bio->bi_iter.bi_sector = (area->start + pos) >> SECTOR_SHIFT;
	rest = area->capacity - pos;
	if (rest < copy->item.bytes) {
		zero_behind(copy, rest);
		bio->bi_iter.bi_size = rest;
	}
	diff_area_submit(area, bio);
	return 0;
}

/* ---- the way to the store ---- */

static struct diff_copy *to_copy(struct store_item *item)
{
	return container_of(item, struct diff_copy, item);
}

static int copy_place(struct store_item *item, u64 pos)
{
	struct diff_copy *copy = to_copy(item);
	struct diff_piece piece = {
		.pos = pos,
		.first = copy->first,
		.count = copy->count,
	};

	/* Not looked at before the granules are stored. */
	return chunk_add_piece(copy->chunk, &piece, copy->area->granule_shift);
}

/* Returns the error that the image died of: its copies need not be stored. */
static int copy_error(struct store_item *item)
{
	return READ_ONCE(to_copy(item)->area->error);
}

static void copy_stored(struct store_item *item, int error)
{
	struct diff_copy *copy = to_copy(item);
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

static void copy_write_done(struct bio *bio)
{
	struct diff_copy *copy = bio->bi_private;

	copy_stored(&copy->item, blk_status_to_errno(bio->bi_status));
}

static struct bio *copy_write_bio(struct store_item *item,
				  struct block_device *bdev)
{
	return copy_bio(to_copy(item), bdev, REQ_OP_WRITE | REQ_SYNC | REQ_IDLE,
			copy_write_done);
}

static const struct bio_vec *copy_vecs(struct store_item *item,
				       unsigned int *nr)
{
	struct diff_copy *copy = to_copy(item);

	*nr = copy->nr_vecs;
	return copy->vecs;
}

static const struct store_item_ops copy_ops = {
	.error = copy_error,
	.place = copy_place,
	.bio = copy_write_bio,
	.vecs = copy_vecs,
	.stored = copy_stored,
};
