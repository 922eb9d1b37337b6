/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Old data of some granules of a chunk, in memory, on its way from the origin
 * to the store.
 */
#ifndef _BLKSNAP_DIFF_COPY_H
#define _BLKSNAP_DIFF_COPY_H

#include <linux/bio.h>

#include "diff_storage.h"

struct diff_area;
struct diff_chunk;

/* A copy is one bio, whatever pages it gets. */
#define COPY_MAX_PAGES BIO_MAX_VECS

/* Called when the granules (a mask) have been read; @error: 0 or -errno. Any
 * context. */
typedef void diff_copy_read_done_t(void *reader, struct diff_chunk *chunk,
				   u64 granules, int error);

struct diff_copy {
	struct store_item item;
	struct diff_area *area;
	struct diff_chunk *chunk;
	diff_copy_read_done_t *read_done;
	void *reader;
	u8 first;
	u8 count;
	u16 nr_vecs;
	struct bio bio;	       /* reads it, then writes it */
	struct bio_vec vecs[]; /* each from the start of its compound page */
};

/*
 * Starts to read granules from the origin. Calls @read_done when they are read,
 * and then has them stored. Takes over the caller's room, and puts it when they
 * are stored. -ENOMEM: nothing was started. @gfp: GFP_NOWAIT or GFP_NOIO. May
 * sleep to submit.
 */
int diff_copy_start(struct diff_area *area, struct diff_chunk *chunk,
		    unsigned int first, unsigned int count, gfp_t gfp,
		    diff_copy_read_done_t *read_done, void *reader);

#endif /* _BLKSNAP_DIFF_COPY_H */
