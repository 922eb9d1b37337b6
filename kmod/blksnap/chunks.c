// SPDX-License-Identifier: GPL-2.0
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "chunks.h"

static struct kmem_cache *chunk_cache;

/* Losing is no harm: memory is not waited for by I/O, and not warned of. */
#define CHUNK_GFP (GFP_NOIO | __GFP_NOWARN | __GFP_ZERO)

int chunk_table_init(struct chunk_table *table, u64 nr_chunks)
{
	table->nr_leaves = DIV_ROUND_UP_ULL(nr_chunks, 1U << CHUNK_LEAF_SHIFT);
	table->leaves = kvcalloc(max(table->nr_leaves, 1ULL),
				 sizeof(*table->leaves), GFP_KERNEL);
	atomic_long_set(&table->count, 0);
	return table->leaves ? 0 : -ENOMEM;
}

void chunk_table_destroy(struct chunk_table *table)
{
	u64 n, i;

	for (n = 0; n < table->nr_leaves; n++) {
		struct diff_chunk **leaf = table->leaves[n];

		if (!leaf)
			continue;
		for (i = 0; i < 1U << CHUNK_LEAF_SHIFT; i++) {
			if (!leaf[i])
				continue;
			if (leaf[i]->room)
				kfree(leaf[i]->pieces);
			kmem_cache_free(chunk_cache, leaf[i]);
		}
		free_page((unsigned long)leaf);
		cond_resched();
	}
	kvfree(table->leaves);
}

static struct diff_chunk **get_leaf(struct chunk_table *table, u64 n)
{
	struct diff_chunk **leaf = READ_ONCE(table->leaves[n]), **other;

	if (leaf)
		return leaf;
	leaf = (struct diff_chunk **)__get_free_page(CHUNK_GFP);
	if (!leaf)
		return NULL;
	other = cmpxchg(&table->leaves[n], NULL, leaf);
	if (!other)
		return leaf;
	/* Somebody was quicker. */
	free_page((unsigned long)leaf);
	return other;
}

struct diff_chunk *chunk_get(struct chunk_table *table, u64 number)
{
	struct diff_chunk *chunk = chunk_find(table, number), *other;
	struct diff_chunk **leaf;

	if (chunk)
		return chunk;
	leaf = get_leaf(table, number >> CHUNK_LEAF_SHIFT);
	if (!leaf)
		return NULL;
	chunk = kmem_cache_alloc(chunk_cache, CHUNK_GFP);
	if (!chunk)
		return NULL;
	chunk->number = number;
	spin_lock_init(&chunk->lock);
	other = cmpxchg(&leaf[number & ((1U << CHUNK_LEAF_SHIFT) - 1)], NULL,
			chunk);
	if (other) {
		kmem_cache_free(chunk_cache, chunk);
		return other;
	}
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
