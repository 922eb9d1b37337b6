// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

#include "params.h"

#define BLKSNAP_PARAM(name, value, text) \
	unsigned int name = value;       \
	module_param(name, uint, 0644);  \
	MODULE_PARM_DESC(name, text)

BLKSNAP_PARAM(tracking_block_minimum_shift, 16,
	      "Smallest block of the change map, as a power of two");
BLKSNAP_PARAM(tracking_block_maximum_shift, 26,
	      "Largest block of the change map, as a power of two");
BLKSNAP_PARAM(tracking_block_maximum_count, 2097152,
	      "Blocks of a change map that are aimed at");
BLKSNAP_PARAM(chunk_minimum_shift, 18,
	      "Smallest chunk of a snapshot, as a power of two");
BLKSNAP_PARAM(chunk_maximum_shift, 26,
	      "Largest chunk of a snapshot, as a power of two");
BLKSNAP_PARAM(chunk_maximum_count_shift, 40,
	      "Chunks of a device that are aimed at, as a power of two");
BLKSNAP_PARAM(chunk_maximum_in_queue, 256,
	      "Copies of a device that may wait for the difference storage");
BLKSNAP_PARAM(diff_storage_minimum, 2097152,
	      "Sectors by which the difference storage grows");
BLKSNAP_PARAM(
	store_timeout, 60,
	"Seconds for which writes may wait for a difference storage that takes nothing");
BLKSNAP_PARAM(
	take_sync_timeout, 60,
	"Seconds in which file systems are to be written back before a take");
BLKSNAP_PARAM(
	take_timeout, 10,
	"Seconds for which a take may keep file systems frozen and writes waiting");
