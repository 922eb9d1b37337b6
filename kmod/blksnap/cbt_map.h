/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The change map of a device: a byte per block, in two copies.
 *
 * A write stores `active` in the first copy, without a lock: it is the number
 * of the next take. A take makes the second copy of the first and raises the
 * number; the second copy is what user space reads. So a block changed since
 * take N iff its byte is above N. Past 254 takes the byte is used up: the map
 * is cleared under a new generation.
 *
 * Beside it, also in two copies, a bit per block: the last that was done to all
 * of it was to discard it, or to have zeroes written by the device. A hint:
 * what a discarded block reads as, only reading it tells, and of two that write
 * to a block at once either may be remembered.
 */
#ifndef _BLKSNAP_CBT_MAP_H
#define _BLKSNAP_CBT_MAP_H

#include <linux/blkdev.h>
#include <linux/uuid.h>

#include "uapi/blksnap.h"

struct cbt_map {
	u64 capacity; /* bytes of the device */
	u64 diskseq;  /* of its disk: the medium */
	unsigned int block_shift;
	u32 block_count;
	uuid_t generation;
	bool ended; /* the generation of @frozen, since the last take */
	u8 active;  /* what a write stores; the last take's number plus one */
	u8 *writes; /* copy that writes mark */
	u8 *frozen; /* copy of the last take */
	/* Little endian: bit n % 8 of byte n / 8 is of block n. */
	unsigned long *discards;
	unsigned long *frozen_discards;
	/* Take N of this generation is at [N - 1]; zero after the last. */
	struct blksnap_instant *instants;
};

/* For @bdev as it is now. ENOMEM. May sleep. */
int cbt_map_init(struct cbt_map *map, struct block_device *bdev);
/* Has the device another size, or another medium, than the map is of? */
bool cbt_map_is_stale(const struct cbt_map *map, struct block_device *bdev);
void cbt_map_destroy(struct cbt_map *map);

/*
 * Begins a new generation, as cbt_map_init() does. cbt_map_mark() may run. Its
 * marks may be lost; no checkpoint is older than the first take, which comes
 * later.
 */
void cbt_map_renew(struct cbt_map *map);

/* Bytes of each copy of the bits. */
static inline u32 cbt_map_discards_length(const struct cbt_map *map)
{
	return DIV_ROUND_UP_ULL(map->block_count, BITS_PER_BYTE);
}

/* Does it leave nothing of what was there, and carry no data? */
static inline bool cbt_map_is_discard(const struct bio *bio)
{
	switch (bio_op(bio)) {
	case REQ_OP_DISCARD:
	case REQ_OP_SECURE_ERASE:
	case REQ_OP_WRITE_ZEROES:
		return true;
	default:
		return false;
	}
}

/*
 * A write to these sectors is about to go down. Beyond the map nothing is
 * marked (such a bio fails later). Any context.
 */
void cbt_map_mark(struct cbt_map *map, sector_t sector, sector_t count,
		  bool discard);

/* Most writes are within one block, and it is marked already. */
static inline bool cbt_map_is_marked(const struct cbt_map *map, sector_t sector,
				     sector_t count, bool discard)
{
	unsigned int shift = map->block_shift - SECTOR_SHIFT;
	u64 first = sector >> shift;

	return first == (sector + count - 1) >> shift &&
	       first < map->block_count &&
	       READ_ONCE(map->writes[first]) == map->active && !discard &&
	       !test_bit_le(first, map->discards);
}

/* The same in both copies, for changes that no bio shows. */
void cbt_map_mark_both(struct cbt_map *map, sector_t sector, sector_t count);

/* The take at @instant: no cbt_map_mark() may run. Does not sleep. */
void cbt_map_take(struct cbt_map *map, const struct blksnap_instant *instant);

#endif /* _BLKSNAP_CBT_MAP_H */
