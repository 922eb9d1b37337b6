/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The chunks of a device that writes have touched: which of their granules are
 * copied, and where in the store the old data is.
 *
 * A hash table by the low bits of a chunk's number: every write looks its chunk
 * up, mostly those of neighbours, and what it takes is in proportion to what
 * was written, wherever that is. Chunks are only ever added, at the head of
 * their chain, so nobody takes a lock.
 */
#ifndef _BLKSNAP_CHUNKS_H
#define _BLKSNAP_CHUNKS_H

#include <linux/spinlock.h>
#include <linux/types.h>

struct diff_job;

/* Granules [first, first + count) of a chunk lie at byte @pos of the store. */
struct diff_piece {
	u64 pos : 48; /* see DIFF_STORAGE_MAX */
	u64 first : 8;
	u64 count : 8;
};

/*
 * A chunk that a write has touched; lives as long as its table. The states of
 * its granules (see diff_area.h) are set under @lock, which interrupts take;
 * @safe may be read without it. 64 bytes, because there may be millions.
 */
struct diff_chunk {
	struct diff_chunk *next; /* of the same bucket */
	u64 number;
	spinlock_t lock;
	u16 nr_pieces;
	u16 room; /* of @pieces; 0: it is @piece, the only one */
	u64 claimed;
	u64 safe;
	u64 stored;
	struct diff_job *waiters; /* jobs that wait for others' reads */
	union {
		struct diff_piece piece;
		struct diff_piece *pieces;
	};
};

struct chunk_table {
	struct diff_chunk **buckets;
	u64 mask;	     /* of a number: its bucket */
	atomic_long_t count; /* of chunks */
};

int chunks_module_init(void);
void chunks_module_exit(void);

/* For a device of so many chunks. ENOMEM. May sleep. */
int chunk_table_init(struct chunk_table *table, u64 nr_chunks);
void chunk_table_destroy(struct chunk_table *table);

static inline struct diff_chunk *chunk_find_in(struct diff_chunk *chain,
					       u64 number)
{
	while (chain && chain->number != number)
		chain = chain->next;
	return chain;
}

/* NULL: untouched. Any context. */
static inline struct diff_chunk *chunk_find(const struct chunk_table *table,
					    u64 number)
{
	return chunk_find_in(READ_ONCE(table->buckets[number & table->mask]),
			     number);
}

/* Makes it where there is none. NULL: no memory. Sleeps as @gfp says. */
struct diff_chunk *chunk_get(struct chunk_table *table, u64 number, gfp_t gfp);

/* What one piece of the store has of the chunk, around a stored granule. */
struct diff_piece chunk_find_piece(struct diff_chunk *chunk,
				   unsigned int granule);

/*
 * The granules of @piece are at its place. For the storage's writer alone,
 * before they are stored. ENOMEM. May sleep, without I/O.
 */
int chunk_add_piece(struct diff_chunk *chunk, const struct diff_piece *piece,
		    unsigned int granule_shift);

#endif /* _BLKSNAP_CHUNKS_H */
