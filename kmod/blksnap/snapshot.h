/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A snapshot: several devices at one instant, and where their old data goes.
 * Created empty, filled with devices, taken once, destroyed.
 */
#ifndef _BLKSNAP_SNAPSHOT_H
#define _BLKSNAP_SNAPSHOT_H

#include <linux/types.h>
#include <linux/uuid.h>

#include "uapi/blksnap.h"

struct snapshot_member;
struct tracker;

int snapshot_module_init(void);
/* Waits until what destroyed snapshots have left is freed. May sleep. */
void snapshot_module_exit(void);

/*
 * The control ioctls; errors as in uapi/blksnap.h. All may sleep. Locks:
 * snapshots_lock (the list), then snapshot.lock, then tracker.lock.
 */
int snapshot_create(const char __user *path, u64 limit_sectors,
		    struct blksnap_uuid *id);
/* @read_only: BLKSNAP_TAKE_READ_ONLY */
int snapshot_take(const struct blksnap_uuid *id, bool read_only);
int snapshot_destroy(const struct blksnap_uuid *id);
/* Fills @event, by its id and timeout. */
int snapshot_wait_event(struct blksnap_snapshot_event *event);
/* Fills @statistics, by its id. */
int snapshot_statistics(struct blksnap_snapshot_statistics *statistics);
int snapshot_collect(struct blksnap_uuid __user *ids, u32 room, u32 *count);

/* The filter's part; under blkfilter's lock, so that the tracker stays. */
int snapshot_add(const struct blksnap_uuid *id, struct tracker *tracker);
/* The tracker's device is gone; its image dies, the others live on. */
void snapshot_forget(struct tracker *tracker);

/* What SNAPSHOTINFO says; under the tracker's lock. */
void snapshot_member_info(struct snapshot_member *member,
			  struct blksnap_snapshotinfo *info);
/* What SNAPSHOTQUIESCED says, likewise. ENODATA before the take. */
int snapshot_member_quiesced(struct snapshot_member *member,
			     struct blksnap_quiesced *quiesced);

#endif /* _BLKSNAP_SNAPSHOT_H */
