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
 * taken over by a job (diff_job.h), which claims what nobody has claimed, waits
 * for the reads, and resubmits the bio.
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
#include <linux/rwsem.h>
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
	 * The device, by name; its memory is pinned, and no more. The origin is
	 * read through the disk, as long as it is there: a partition is another
	 * struct block_device once the table was read anew.
	 */
	struct block_device *bdev;
	struct block_device *disk;
	struct rw_semaphore origin_sem; /* read: I/O to it is being submitted */
	bool origin_lost;		/* there is to be none */
	u64 start;			/* of the device on the disk, bytes */
	struct diff_storage *storage;	/* until diff_area_drain() */
	struct task_struct *storage_writer; /* to compare with */
	struct workqueue_struct *job_queue;
	unsigned int chunk_shift;   /* bytes */
	unsigned int granule_shift; /* bytes */
	u64 capacity;		    /* bytes */
	u64 diskseq;		    /* of the origin's disk at the instant */
	/* What of @bdev the storage lies in: zeroes in the image. */
	struct device_range *excluded;
	unsigned int nr_excluded;
	struct chunk_table chunks;
	int error;		/* 0, or the -errno that the image died of */
	struct event corrupted; /* posted when it died */
	struct event_queue *events; /* of the snapshot */
	struct mutex map_lock;	    /* innermost of the sleeping ones */
	struct cbt_map *map; /* that image writes are marked in, or NULL */
	struct mutex overlay_lock; /* image writes to the storage, one a time */
	atomic_t jobs;		   /* bios taken over and not yet resubmitted */
	atomic_t copies;	   /* in memory */
	atomic_long_t all_copies;  /* since the take */
	/* Woken by each job or copy that ends, and by error; locks the rest. */
	wait_queue_head_t progress;
	struct list_head waiters;   /* room_waiter.link */
	unsigned long waits;	    /* of jobs, for room or memory */
	unsigned long ended;	    /* jobs and copies */
	unsigned long ended_before; /* when the stall watch looked last */
	struct delayed_work memory_work;
	struct delayed_work stall_work;
};

/* ERR_PTR. May sleep. All arguments stay the caller's. */
struct diff_area *diff_area_create(struct block_device *bdev,
				   struct diff_storage *storage,
				   struct event_queue *events);

/*
 * What is excluded differs from the images before and after this one, whether
 * it is written or not: marks it. At the instant of the take.
 */
void diff_area_mark_excluded(struct diff_area *area, struct cbt_map *map);

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
 * The origin is being removed: kills the image, and waits until no I/O to the
 * origin is being submitted. None is submitted afterwards. May sleep.
 */
void diff_area_lose_origin(struct diff_area *area);

/*
 * The end, in this order. diff_area_stop(): the image reads EIO, unstored
 * copies are dropped, no more I/O to the origin is submitted; call it before
 * writes pass uncopied. May sleep. diff_area_drain(), when no new bio comes and
 * the image is closed, waits for jobs and copies. May sleep.
 */
void diff_area_stop(struct diff_area *area);
void diff_area_drain(struct diff_area *area);
void diff_area_destroy(struct diff_area *area);

/* ---- for jobs, copies, and what images read and write ---- */

/*
 * Work that waits for room or memory for a copy. It is queued when there may be
 * some, and when the image dies; it must check, and may have to wait again.
 */
struct room_waiter {
	struct list_head link;
	struct work_struct work; /* on diff_area.job_queue */
};

/*
 * Reserves room for a copy in memory: at most chunk_maximum_in_queue of an
 * area, unless @unlimited. Returns false if there is none. Any context.
 */
bool diff_area_get_room(struct diff_area *area, bool unlimited);
void diff_area_put_room(struct diff_area *area);
/* The copy could not be made. The caller goes on to wait for memory. */
void diff_area_return_room(struct diff_area *area);

/* The work may run, and free the waiter, before these return. Any context. */
void diff_area_wait_for_room(struct diff_area *area,
			     struct room_waiter *waiter);
void diff_area_wait_for_memory(struct diff_area *area,
			       struct room_waiter *waiter);

/* Counts one job down. Any context. */
void diff_area_end_job(struct diff_area *area);

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
	part.mask =
		granule_mask(first, granule_of(area, part.end - 1) - first + 1);
	return part;
}

/* Granules of the part that the storage has all of. */
u64 diff_area_find_excluded(const struct diff_area *area,
			    const struct chunk_part *part);

/* Mostly there are none, and every write asks. */
static inline u64 diff_area_excluded(const struct diff_area *area,
				     const struct chunk_part *part)
{
	return area->nr_excluded ? diff_area_find_excluded(area, part) : 0;
}

/*
 * Makes [pos, end) of the device, as far as it is excluded, zeroes in @bio,
 * whose data at @iter is that of pos. Any context.
 */
void diff_area_zero_excluded(const struct diff_area *area, struct bio *bio,
			     struct bvec_iter iter, u64 pos, u64 end);

/*
 * Submits a read to the origin, or fails the bio if the origin is lost. May
 * sleep; not where current->bio_list is set.
 */
void diff_area_submit(struct diff_area *area, struct bio *bio);

#endif /* _BLKSNAP_DIFF_AREA_H */
