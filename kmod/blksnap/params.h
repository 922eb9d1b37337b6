/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Module parameters: by their upstream names and meanings, and the limits
 * of a take, which are ours.
 */
#ifndef _BLKSNAP_PARAMS_H
#define _BLKSNAP_PARAMS_H

extern unsigned int tracking_block_minimum_shift;
extern unsigned int tracking_block_maximum_shift;
extern unsigned int tracking_block_maximum_count;
extern unsigned int chunk_minimum_shift;
extern unsigned int chunk_maximum_shift;
extern unsigned int chunk_maximum_count_shift;
extern unsigned int chunk_maximum_in_queue;
extern unsigned int diff_storage_minimum;
extern unsigned int take_sync_timeout;
extern unsigned int take_timeout;
extern unsigned int store_timeout;

/*
 * The smallest power of two from @min_shift up with which @capacity (bytes)
 * has at most @max_count blocks, but never above @max_shift.
 */
static inline unsigned int blksnap_block_shift(u64 capacity,
					       unsigned int min_shift,
					       unsigned int max_shift,
					       u64 max_count)
{
	unsigned int shift = min_shift;

	while (shift < max_shift &&
	       DIV_ROUND_UP_ULL(capacity, 1ULL << shift) > max_count)
		shift++;
	return shift;
}

#endif /* _BLKSNAP_PARAMS_H */
