// SPDX-License-Identifier: GPL-2.0
#include <linux/blkdev.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "cbt_map.h"
#include "params.h"
#include "randomness.h"

bool cbt_map_is_stale(const struct cbt_map *map, struct block_device *bdev)
{
	return map->capacity != bdev_nr_bytes(bdev) ||
	       map->diskseq != bdev->bd_disk->diskseq;
}

int cbt_map_init(struct cbt_map *map, struct block_device *bdev)
{
	/* Who attaches is told of ENOMEM; the log needs no stack. */
	const gfp_t gfp = GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN;
	u64 capacity = bdev_nr_bytes(bdev);
	size_t bitmap;

	map->capacity = capacity;
	map->diskseq = bdev->bd_disk->diskseq;
	map->block_shift = blksnap_block_shift(
		capacity,
		clamp(tracking_block_minimum_shift, SECTOR_SHIFT, 31U),
		min(tracking_block_maximum_shift, 31U),
		tracking_block_maximum_count);
	/* A tight limit of the shift must not make the count wrap. */
	while (DIV_ROUND_UP_ULL(capacity, 1ULL << map->block_shift) > U32_MAX)
		map->block_shift++;
	map->block_count = DIV_ROUND_UP_ULL(capacity, 1ULL << map->block_shift);
	map->writes = __vmalloc(max(map->block_count, 1U), gfp);
	map->frozen = __vmalloc(max(map->block_count, 1U), gfp);
	bitmap = BITS_TO_LONGS(max(map->block_count, 1U)) * sizeof(long);
	map->discards = __vmalloc(bitmap, gfp);
	map->frozen_discards = __vmalloc(bitmap, gfp);
	map->instants = kcalloc(BLKSNAP_TAKES_MAX, sizeof(*map->instants), gfp);
	if (!map->writes || !map->frozen || !map->discards ||
	    !map->frozen_discards || !map->instants) {
		cbt_map_destroy(map);
		return -ENOMEM;
	}
	fresh_uuid(&map->generation);
	map->active = 1;
	return 0;
}

void cbt_map_destroy(struct cbt_map *map)
{
	vfree(map->writes);
	vfree(map->frozen);
	vfree(map->discards);
	vfree(map->frozen_discards);
	kfree(map->instants);
	map->writes = NULL;
	map->frozen = NULL;
	map->discards = NULL;
	map->frozen_discards = NULL;
	map->instants = NULL;
}

static void mark(struct cbt_map *map, u8 *bytes, sector_t sector,
		 sector_t count)
{
	unsigned int shift = map->block_shift - SECTOR_SHIFT;
	u64 first = sector >> shift;
	u64 last = min_t(u64, (sector + count - 1) >> shift,
			 (u64)map->block_count - 1);

	/* Nothing, or behind a device that has grown since. */
	if (!count || first >= map->block_count)
		return;
	/* Mostly they are marked: reading does not take the cache line away. */
	for (; first <= last; first++)
		if (READ_ONCE(bytes[first]) != map->active)
			WRITE_ONCE(bytes[first], map->active);
}

/* Blocks in which something is written have something in them. */
static void fill(const struct cbt_map *map, unsigned long *discards,
		 sector_t sector, sector_t count)
{
	unsigned int shift = map->block_shift - SECTOR_SHIFT;
	u64 block = sector >> shift;
	u64 end = min_t(u64, ((sector + count - 1) >> shift) + 1,
			map->block_count);

	for (; count && block < end; block++)
		if (test_bit_le(block, discards))
			clear_bit_le(block, discards);
}

/* Only blocks of which nothing is left; the last one may be a short one. */
static void empty(const struct cbt_map *map, unsigned long *discards,
		  sector_t sector, sector_t count)
{
	unsigned int shift = map->block_shift - SECTOR_SHIFT;
	sector_t end = sector + count;
	u64 block = (sector + (1ULL << shift) - 1) >> shift;
	u64 last = end >= map->capacity >> SECTOR_SHIFT ? map->block_count
							: end >> shift;

	for (; block < last; block++)
		if (!test_bit_le(block, discards))
			set_bit_le(block, discards);
}

void cbt_map_mark(struct cbt_map *map, sector_t sector, sector_t count,
		  bool discard)
{
	mark(map, map->writes, sector, count);
	if (discard)
		empty(map, map->discards, sector, count);
	else
		fill(map, map->discards, sector, count);
}

void cbt_map_mark_both(struct cbt_map *map, sector_t sector, sector_t count)
{
	mark(map, map->writes, sector, count);
	fill(map, map->discards, sector, count);
	mark(map, map->frozen, sector, count);
	fill(map, map->frozen_discards, sector, count);
}

void cbt_map_renew(struct cbt_map *map)
{
	fresh_uuid(&map->generation);
	map->ended = true;
	map->active = 1;
	memset(map->writes, 0, map->block_count);
	memset(map->frozen, 0, map->block_count);
	memset(map->instants, 0, BLKSNAP_TAKES_MAX * sizeof(*map->instants));
}

void cbt_map_take(struct cbt_map *map, const struct blksnap_instant *instant)
{
	BUILD_BUG_ON(BLKSNAP_TAKES_MAX != U8_MAX - 1);
	memcpy(map->frozen_discards, map->discards,
	       cbt_map_discards_length(map));
	/* The numbers of this generation are used up. */
	if (map->active == U8_MAX)
		cbt_map_renew(map);
	memcpy(map->frozen, map->writes, map->block_count);
	map->instants[map->active - 1] = *instant;
	map->active++;
	map->ended = false;
}
