// SPDX-License-Identifier: GPL-2.0
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "chunks.h"

static struct kmem_cache *chunk_cache;

/*
 * One bucket for so many chunks of the device, of which most are not touched;
 * and at most 8 MiB of buckets.
 */
#define CHUNKS_PER_BUCKET 8
#define MIN_BUCKETS 64ULL
#define MAX_BUCKETS (1ULL << 20)

int chunk_table_init(struct chunk_table *table, u64 nr_chunks)
{
	u64 buckets =
		clamp(nr_chunks / CHUNKS_PER_BUCKET, MIN_BUCKETS, MAX_BUCKETS);

	buckets = roundup_pow_of_two(buckets);
	table->mask = buckets - 1;
	atomic_long_set(&table->count, 0);
	table->buckets = kvcalloc(buckets, sizeof(*table->buckets), GFP_KERNEL);
	return table->buckets ? 0 : -ENOMEM;
}

void chunk_table_destroy(struct chunk_table *table)
{
	struct diff_chunk *chunk, *next;
	u64 i;

	for (i = 0; i <= table->mask; i++) {
		for (chunk = table->buckets[i]; chunk; chunk = next) {
			next = chunk->next;
			if (chunk->room)
				kfree(chunk->pieces);
			kmem_cache_free(chunk_cache, chunk);
		}
		cond_resched();
	}
	kvfree(table->buckets);
}

struct diff_chunk *chunk_get(struct chunk_table *table, u64 number, gfp_t gfp)
{
	struct diff_chunk **bucket = &table->buckets[number & table->mask];
	struct diff_chunk *chunk = chunk_find(table, number), *other;

	if (chunk)
		return chunk;
	chunk = kmem_cache_zalloc(chunk_cache, gfp | __GFP_NOWARN);
	if (!chunk)
		return NULL;
	chunk->number = number;
	spin_lock_init(&chunk->lock);
	chunk->next = READ_ONCE(*bucket);
	do {
		/* Somebody may have been quicker with this very one. */
		other = chunk_find_in(chunk->next, number);
		if (other) {
			kmem_cache_free(chunk_cache, chunk);
			return other;
		}
	} while (!try_cmpxchg(bucket, &chunk->next, chunk));
	atomic_long_inc(&table->count);
	return chunk;
}

/* ---- pieces ---- */

static struct diff_piece *pieces_of(struct diff_chunk *chunk)
{
	return chunk->room ? chunk->pieces : &chunk->piece;
}

struct diff_piece chunk_find_piece(struct diff_chunk *chunk,
				   unsigned int granule)
{
	struct diff_piece found = {};
	struct diff_piece *piece;
	unsigned int i;

	spin_lock_irq(&chunk->lock);
	piece = pieces_of(chunk);
	for (i = 0; i < chunk->nr_pieces; i++, piece++)
		if (granule >= piece->first &&
		    granule < piece->first + piece->count)
			found = *piece;
	spin_unlock_irq(&chunk->lock);
	return found;
}

/* Only the storage's writer adds pieces, so nobody else resizes the array. */
static int make_room(struct diff_chunk *chunk)
{
	unsigned int room = max(2 * chunk->room, 2);
	struct diff_piece *bigger, *old = NULL;

	if (chunk->nr_pieces < max_t(unsigned int, chunk->room, 1))
		return 0;
	bigger = kmalloc_array(room, sizeof(*bigger), GFP_NOIO | __GFP_NOWARN);
	if (!bigger)
		return -ENOMEM;
	spin_lock_irq(&chunk->lock);
	memcpy(bigger, pieces_of(chunk), chunk->nr_pieces * sizeof(*bigger));
	if (chunk->room)
		old = chunk->pieces;
	chunk->pieces = bigger;
	chunk->room = room;
	spin_unlock_irq(&chunk->lock);
	kfree(old);
	return 0;
}

/* What a sequential writer leaves is one piece. */
static bool joined(struct diff_piece *last, const struct diff_piece *piece,
		   unsigned int granule_shift)
{
	if (last->first + last->count != piece->first ||
	    last->pos + ((u64)last->count << granule_shift) != piece->pos)
		return false;
	last->count += piece->count;
	return true;
}

int chunk_add_piece(struct diff_chunk *chunk, const struct diff_piece *piece,
		    unsigned int granule_shift)
{
	int ret = make_room(chunk);
	struct diff_piece *pieces;

	if (ret)
		return ret;
	spin_lock_irq(&chunk->lock);
	pieces = pieces_of(chunk);
	if (!chunk->nr_pieces ||
	    !joined(&pieces[chunk->nr_pieces - 1], piece, granule_shift))
		pieces[chunk->nr_pieces++] = *piece;
	spin_unlock_irq(&chunk->lock);
	return 0;
}

/* ---- module ---- */

int chunks_module_init(void)
{
	chunk_cache = KMEM_CACHE(diff_chunk, 0);
	return chunk_cache ? 0 : -ENOMEM;
}

void chunks_module_exit(void)
{
	kmem_cache_destroy(chunk_cache);
}
