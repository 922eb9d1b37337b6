// SPDX-License-Identifier: GPL-2.0
/*
 * What an image reads and writes: the storage where granules are safe, the
 * origin where they are not, zeroes where the storage lies on the origin.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/slab.h>

#include "cbt_map.h"
#include "chunks.h"
#include "diff_area.h"
#include "diff_job.h"
#include "diff_storage.h"

#define SPAN_PAGES 64U

/*
 * A range of the image that lies in one piece of the storage, and whole pages
 * of the storage around it: the storage may ask for another alignment than the
 * image's users.
 */
struct span {
	u64 store_pos;	    /* of the first page */
	unsigned int lead;  /* bytes of it before the range */
	unsigned int bytes; /* of the range */
	unsigned int nr_pages;
	struct page *pages[SPAN_PAGES];
};

static void free_span(struct span *span)
{
	while (span->nr_pages)
		__free_page(span->pages[--span->nr_pages]);
}

/*
 * As much of [pos, end), within the chunk, as one piece has. Waits until it is
 * stored: it is safe, and perhaps still on its way.
 */
static int make_span(struct diff_area *area, struct diff_chunk *chunk, u64 pos,
		     u64 end, struct span *span)
{
	unsigned int granule = granule_of(area, pos);
	u64 in_granule = pos & ((1ULL << area->granule_shift) - 1);
	struct diff_piece piece;
	u64 offset, most;

	if (!(READ_ONCE(chunk->stored) & BIT_ULL(granule)))
		diff_storage_hurry(area->storage);
	wait_event(area->progress,
		   READ_ONCE(chunk->stored) & BIT_ULL(granule) ||
			   READ_ONCE(area->error));
	if (READ_ONCE(area->error))
		return -EIO;
	piece = chunk_find_piece(chunk, granule);
	offset = ((u64)(granule - piece.first) << area->granule_shift) +
		 in_granule;
	most = ((u64)piece.count << area->granule_shift) - offset;
	span->lead = offset_in_page(offset);
	span->store_pos = piece.pos + offset - span->lead;
	span->bytes = min3(end - pos, most,
			   (u64)(SPAN_PAGES << PAGE_SHIFT) - span->lead);
	/* Of a piece only what is stored: the next granules may be on their
	 * way. */
	while (span->bytes) {
		u64 last = granule_of(area, pos + span->bytes - 1);
		u64 mask = granule_mask(granule, last - granule + 1);

		if ((READ_ONCE(chunk->stored) & mask) == mask)
			break;
		span->bytes = min_t(u64, span->bytes,
				    ((last - granule) << area->granule_shift) -
					    in_granule);
	}
	span->nr_pages = 0;
	while (span->nr_pages << PAGE_SHIFT < span->lead + span->bytes) {
		struct page *page = alloc_page(GFP_NOIO);

		if (!page) {
			free_span(span);
			return -ENOMEM;
		}
		span->pages[span->nr_pages++] = page;
	}
	return 0;
}

static int transfer_span(struct diff_area *area, struct span *span,
			 unsigned int first, unsigned int count, enum req_op op)
{
	int ret = diff_storage_transfer(
		area->storage, span->pages + first, count << PAGE_SHIFT,
		span->store_pos + ((u64)first << PAGE_SHIFT), op);

	if (ret)
		diff_area_fail(area, ret,
			       op == REQ_OP_READ
				       ? "cannot read the difference storage"
				       : "cannot write the difference storage");
	return ret;
}

/* Between the range of the span and @skip bytes into the bio. */
static void copy_span(struct span *span, struct bio *bio, unsigned int skip,
		      bool to_bio)
{
	struct bvec_iter iter = bio->bi_iter;
	unsigned int offset = span->lead;
	struct bio_vec bv;

	bio_advance_iter(bio, &iter, skip);
	iter.bi_size = span->bytes;
	__bio_for_each_segment(bv, bio, iter, iter) {
		unsigned int done = 0;

		while (done < bv.bv_len) {
			struct page *page = span->pages[offset >> PAGE_SHIFT];
			unsigned int in = offset_in_page(offset);
			unsigned int n = min_t(unsigned int, bv.bv_len - done,
					       PAGE_SIZE - in);

			if (to_bio)
				memcpy_page(bv.bv_page, bv.bv_offset + done,
					    page, in, n);
			else
				memcpy_page(page, in, bv.bv_page,
					    bv.bv_offset + done, n);
			offset += n;
			done += n;
		}
	}
}

/* ---- reading ---- */

/* Bytes done, or -errno. */
static int read_stored(struct diff_area *area, struct diff_chunk *chunk,
		       struct bio *bio, u64 pos, u64 end, unsigned int skip)
{
	struct span span;
	int ret = make_span(area, chunk, pos, end, &span);

	if (ret)
		return ret;
	ret = transfer_span(area, &span, 0, span.nr_pages, REQ_OP_READ);
	if (!ret) {
		copy_span(&span, bio, skip, true);
		ret = span.bytes;
	}
	free_span(&span);
	return ret;
}

static void origin_read_done(struct bio *bio)
{
	complete(bio->bi_private);
}

/* From the origin, into the bio's own pages. */
static int read_origin(struct diff_area *area, struct bio *bio, u64 pos,
		       unsigned int bytes, unsigned int skip)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct bvec_iter iter = bio->bi_iter;
	struct bio clone;
	int ret;

	ret = bio_init_clone(area->disk, &clone, bio, GFP_NOIO);
	if (ret)
		return ret;
	bio_advance(&clone, skip);
	clone.bi_iter.bi_size = bytes;
	clone.bi_iter.bi_sector = (area->start + pos) >> SECTOR_SHIFT;
	clone.bi_opf = REQ_OP_READ | (bio->bi_opf & REQ_SYNC);
	clone.bi_private = &done;
	clone.bi_end_io = origin_read_done;
	diff_area_submit(area, &clone);
	wait_for_completion_io(&done);
	ret = blk_status_to_errno(clone.bi_status);
	bio_uninit(&clone);
	bio_advance_iter(bio, &iter, skip);
	diff_area_zero_excluded(area, bio, iter, pos, pos + bytes);
	return ret;
}

/* What was read may be of another file, where the origin is a loop device. */
static void check_medium(struct diff_area *area)
{
	if (area->bdev->bd_disk->diskseq != area->diskseq)
		diff_area_fail(area, -ENOMEDIUM, "the medium was changed");
}

static u64 safe_granules(struct diff_area *area, u64 number)
{
	struct diff_chunk *chunk = chunk_find(&area->chunks, number);

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
			ret = read_stored(
				area, chunk_find(&area->chunks, part.number),
				bio, pos, part.end, pos - start);
			if (ret < 0)
				return BLK_STS_IOERR;
			pos += ret;
			continue;
		}
		ret = read_origin(area, bio, pos, clean, pos - start);
		check_medium(area);
		/* A dead image lets writes pass that it did not copy. */
		if (ret || READ_ONCE(area->error))
			return BLK_STS_IOERR;
		/* What became safe meanwhile may be new data: read again. */
		pos += bytes_before(area, pos, pos + clean,
				    safe_granules(area, part.number));
	}
	return pos < end ? BLK_STS_IOERR : BLK_STS_OK;
}

/* ---- writing ---- */

void diff_area_set_map(struct diff_area *area, struct cbt_map *map)
{
	mutex_lock(&area->map_lock);
	area->map = map;
	mutex_unlock(&area->map_lock);
}

static void mark(struct diff_area *area, u64 start, u64 end)
{
	mutex_lock(&area->map_lock);
	if (area->map)
		cbt_map_mark_both(area->map, start >> SECTOR_SHIFT,
				  (end - start) >> SECTOR_SHIFT);
	mutex_unlock(&area->map_lock);
}

/* Over what is stored. Bytes done, or -errno. */
static int write_stored(struct diff_area *area, struct diff_chunk *chunk,
			struct bio *bio, u64 pos, u64 end, unsigned int skip)
{
	struct span span;
	unsigned int last;
	int ret = make_span(area, chunk, pos, end, &span);

	if (ret)
		return ret;
	/* Of the first and the last page the rest must stay. */
	last = span.nr_pages - 1;
	if (span.lead)
		ret = transfer_span(area, &span, 0, 1, REQ_OP_READ);
	if (!ret && offset_in_page(span.lead + span.bytes) &&
	    (last || !span.lead))
		ret = transfer_span(area, &span, last, 1, REQ_OP_READ);
	if (!ret) {
		copy_span(&span, bio, skip, false);
		ret = transfer_span(area, &span, 0, span.nr_pages,
				    REQ_OP_WRITE);
	}
	if (!ret)
		ret = span.bytes;
	free_span(&span);
	return ret;
}

blk_status_t diff_area_write(struct diff_area *area, struct bio *bio)
{
	u64 start = (u64)bio->bi_iter.bi_sector << SECTOR_SHIFT;
	u64 end = start + bio->bi_iter.bi_size;
	u64 pos = start;
	int ret = 0;

	if (READ_ONCE(area->error))
		return BLK_STS_IOERR;
	mark(area, start, end);
	/* From then on the storage alone has the data: write there. */
	diff_job_copy_range(area, start, end);
	/* Two writes to parts of one page must not undo one another. */
	mutex_lock(&area->overlay_lock);
	while (pos < end && ret >= 0) {
		struct chunk_part part = chunk_part(area, pos, end);
		struct diff_chunk *chunk =
			chunk_find(&area->chunks, part.number);

		/* None: the image died before it was made. */
		ret = chunk ? write_stored(area, chunk, bio, pos, part.end,
					   pos - start)
			    : -EIO;
		pos += max(ret, 0);
	}
	mutex_unlock(&area->overlay_lock);
	return ret < 0 ? BLK_STS_IOERR : BLK_STS_OK;
}
