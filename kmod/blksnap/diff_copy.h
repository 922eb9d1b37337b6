/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Old data of some granules of a chunk, in memory, on its way from the origin
 * to the store.
 */
#ifndef _BLKSNAP_DIFF_COPY_H
#define _BLKSNAP_DIFF_COPY_H

#include <linux/bio.h>
#include <linux/list.h>
#include <linux/spinlock.h>

struct diff_area;
struct diff_chunk;
struct diff_job;

/* The largest compound page that a copy asks for: fewer pieces are cheaper. */
#define COPY_MAX_ORDER 6
/* A copy is one bio, whatever pages it gets. */
#define COPY_MAX_PAGES BIO_MAX_VECS

/*
 * Pages that copies had and the next ones get. Kernels that zero the memory they
 * hand out (CONFIG_INIT_ON_ALLOC_DEFAULT_ON, Debian's do) would do so for each
 * copy, only to have it overwritten by the read. One for each storage.
 */
struct copy_pages {
	spinlock_t lock; /* taken from interrupts */
	unsigned int count; /* of single pages */
	struct list_head free[COPY_MAX_ORDER + 1]; /* by order; page.lru */
};

void copy_pages_init(struct copy_pages *pages);
void copy_pages_destroy(struct copy_pages *pages);

struct diff_copy {
	struct list_head link; /* diff_storage.queue */
	struct diff_area *area;
	struct diff_chunk *chunk;
	struct diff_job *job; /* that waits for the read */
	u8 first;
	u8 count;
	u16 nr_vecs;
	u32 bytes; /* of @vecs, whole pages */
	struct bio bio; /* reads it, then writes it */
	struct bio_vec vecs[]; /* each from the start of its compound page */
};

/*
 * Starts to read granules from the origin. When they are read,
 * diff_job_copied() is called, in any context, and then the copy goes to the
 * storage by itself. ENOMEM, and then nothing was started. Waits for memory,
 * but not for ever.
 */
int diff_copy_start(struct diff_job *job, struct diff_area *area,
		    struct diff_chunk *chunk, unsigned int first,
		    unsigned int count);

/*
 * For the storage's writer, one after the other: the copy's place in the store
 * (ENOMEM; may sleep), the bio that writes it to @bdev and calls
 * diff_copy_stored(), or that itself, in any context, with 0 or -errno: the
 * copy is gone then.
 */
int diff_copy_place(struct diff_copy *copy, u64 pos);
struct bio *diff_copy_bio(struct diff_copy *copy, struct block_device *bdev);
void diff_copy_stored(struct diff_copy *copy, int error);

#endif /* _BLKSNAP_DIFF_COPY_H */
