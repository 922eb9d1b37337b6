/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copy on write for one device of a taken snapshot.
 *
 * The device is divided into chunks, and each chunk into up to 64 granules of
 * at least 4 KiB: what a write touches is copied by granules, so that a small
 * random write does not copy a chunk. States of a granule, each a bit that is
 * never taken back, in this order:
 *
 *   (none)   the origin holds the data of the instant
 *   claimed  somebody reads it from the origin; writes to it wait
 *   safe     the data is in memory or in the store; writes pass
 *   stored   it is in the store, where the chunk's pieces say
 *
 * A write whose granules are all safe passes at once. Otherwise the bio is
 * taken over by a job, which claims what nobody has claimed, waits for the
 * reads, and resubmits the bio. Jobs run in the submitter's context where that
 * may sleep, else in a worker.
 *
 * An image read of granules that are not safe reads the origin, and then looks
 * again: a write passes only after its granules became safe, so if they are
 * still not safe the data read is that of the instant. Else it is read once
 * more, from the store.
 *
 * Whatever fails here kills the image (`error`), never the write: from then on
 * all writes pass.
 */
#ifndef _BLKSNAP_DIFF_AREA_H
#define _BLKSNAP_DIFF_AREA_H

#include <linux/bio.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "chunks.h"
#include "events.h"

struct cbt_map;
struct device_range;
struct diff_storage;

struct diff_area {
	/*
	 * The device, by name; its memory is pinned. The origin is read through
	 * the disk: a partition is another struct block_device once the table
	 * was read anew.
	 */
	struct block_device *bdev;
	struct block_device *disk;
	u64 start; /* of the device on the disk, bytes */
	struct diff_storage *storage;
	struct workqueue_struct *job_queue;
	unsigned int chunk_shift;   /* bytes */
	unsigned int granule_shift; /* bytes */
	u64 capacity;		    /* bytes */
	u64 diskseq;		    /* of the origin's disk at the instant */
	/* What of @bdev the storage lies in: zeroes in the image. */
	struct device_range *excluded;
	unsigned int nr_excluded;
	struct chunk_table chunks;
	int error;		    /* 0, or the -errno that the image died of */
	struct event corrupted;	    /* posted when it died */
	struct event_queue *events; /* of the snapshot */
	struct mutex map_lock;	    /* innermost of the sleeping ones */
	struct cbt_map *map;	    /* that image writes are marked in, or NULL */
	struct mutex overlay_lock;  /* image writes to the storage, one a time */
	atomic_t jobs;		    /* bios taken over and not yet resubmitted */
	atomic_t copies;	    /* in memory */
	atomic_long_t all_copies;   /* since the take */
	atomic_long_t waits;	    /* of writers, for room in memory */
	/* A job or copy is done, or error is set; see diff_area_count_down(). */
	wait_queue_head_t progress;
};

int diff_area_module_init(void);
void diff_area_module_exit(void);

/* ERR_PTR. May sleep. All arguments stay the caller's. */
struct diff_area *diff_area_create(struct block_device *bdev,
				   struct diff_storage *storage,
				   struct event_queue *events);

/*
 * What is excluded differs from the images before and after this one, whether
 * it is written or not: marks it. At the instant of the take.
 */
void diff_area_mark_excluded(struct diff_area *area, struct cbt_map *map);

/*
 * A write to these sectors (within the device) wants to pass. True: it was
 * taken over, and is resubmitted when the old data is safe. As
 * blkfilter_operations.submit_bio.
 */
bool diff_area_cow(struct diff_area *area, struct bio *bio, sector_t sector,
		   sector_t count);

/* Reads the image: the sectors of @bio as of the instant. May sleep on I/O. */
blk_status_t diff_area_read(struct diff_area *area, struct bio *bio);

/*
 * Writes to the image, which has its data in the storage from then on. Marked
 * in the change map. May sleep on I/O.
 */
blk_status_t diff_area_write(struct diff_area *area, struct bio *bio);

/*
 * Where image writes are marked from now on, or NULL: nowhere, because the map
 * goes away. May sleep.
 */
void diff_area_set_map(struct diff_area *area, struct cbt_map *map);

/* Adds this image's part. Any context. */
void diff_area_add_statistics(const struct diff_area *area,
			      struct blksnap_snapshot_statistics *statistics);

/* Kills the image, with the first error only. Any context. */
void diff_area_fail(struct diff_area *area, int error, const char *what);

/*
 * The end, in this order. From diff_area_stop() on the image reads EIO, and
 * what is not stored is dropped: before writes pass uncopied. Any context.
 * diff_area_drain(), when no new bio comes and the image is closed, waits for
 * jobs and copies. May sleep.
 */
void diff_area_stop(struct diff_area *area);
void diff_area_drain(struct diff_area *area);
void diff_area_destroy(struct diff_area *area);

/* ---- for diff_area.c, diff_copy.c and diff_image.c alone ---- */

/* A part of a byte range that lies in one chunk. */
struct chunk_part {
	u64 number;
	u64 end;  /* of the part, bytes of the device */
	u64 mask; /* granules that it touches */
};

static inline u64 granule_mask(unsigned int first, unsigned int count)
{
	return GENMASK_ULL(first + count - 1, first);
}

static inline unsigned int granule_of(const struct diff_area *area, u64 pos)
{
	return (pos & ((1ULL << area->chunk_shift) - 1)) >> area->granule_shift;
}

/* The part of [pos, end) in the chunk of pos. */
static inline struct chunk_part chunk_part(const struct diff_area *area,
					   u64 pos, u64 end)
{
	struct chunk_part part;
	unsigned int first;

	part.number = pos >> area->chunk_shift;
	part.end = min(end, (part.number + 1) << area->chunk_shift);
	first = granule_of(area, pos);
	part.mask = granule_mask(first,
				 granule_of(area, part.end - 1) - first + 1);
	return part;
}

/*
 * Makes [pos, end) of the device, as far as it is excluded, zeroes in @bio,
 * whose data at @iter is that of pos. Any context.
 */
void diff_area_zero_excluded(const struct diff_area *area, struct bio *bio,
			     struct bvec_iter iter, u64 pos, u64 end);

/* One of the jobs or copies less. Any context. */
void diff_area_count_down(struct diff_area *area, atomic_t *count);

/* A copy of the job was read, or not; called once for each. Any context. */
void diff_job_copied(struct diff_job *job, struct diff_chunk *chunk,
		     u64 granules, int error);

/*
 * Copies the old data of [pos, end), excluded parts too, and waits until it is
 * safe, or the image dead. May sleep; not where current->bio_list is set.
 */
void diff_area_copy_range(struct diff_area *area, u64 pos, u64 end);

#endif /* _BLKSNAP_DIFF_AREA_H */
