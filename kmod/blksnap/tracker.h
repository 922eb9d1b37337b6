/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The filter "blksnap" on one device: marks changes, and while a snapshot is
 * held has the old data copied before a write goes down.
 */
#ifndef _BLKSNAP_TRACKER_H
#define _BLKSNAP_TRACKER_H

#include <linux/mutex.h>

#include "blkfilter.h"
#include "cbt_map.h"

struct snapshot_member;
struct diff_area;
struct gate;

/**
 * struct tracker - state of one filtered device
 * @filter:   our end of blkfilter
 * @lock:     guards @map's frozen copy and its replacement, and @member.
 *            Never taken in the bio path. Inside snapshot.lock.
 * @map:      changes
 * @member:   the device's place in its snapshot, or NULL. A tracker in a
 *            snapshot is not detached; when its device goes away, it leaves
 *            the snapshot before it is freed.
 * @gate:     a take is on: bios wait there, or NULL. Read in the bio path.
 * @gone:     the device was removed; nothing of it can be relied on
 * @untracked: the device changed, or is about to, in a way that @map does not
 *            have; set in any context. tracker_renew_map() clears it.
 * @taking:   a take is at it, or a worker of one; then it is not detached
 * @diff:     the snapshot is taken: where old data goes, or NULL. Read in the
 *            bio path; blkfilter_synchronize() waits for those who read it.
 */
struct tracker {
	struct blkfilter filter;
	struct mutex lock;
	struct cbt_map map;
	struct snapshot_member *member;
	struct gate *gate;
	struct diff_area *diff;
	bool gone;
	bool untracked;
	bool taking;
};

static inline struct tracker *to_tracker(struct blkfilter *flt)
{
	return container_of(flt, struct tracker, filter);
}

/*
 * From now on writes are copied to @diff: at the instant of the take, when no
 * bio is in the filter. May sleep.
 */
void tracker_start_copying(struct tracker *tracker, struct diff_area *diff);

/*
 * Begins a new generation of the map if there was a change that it does not
 * have. Under tracker.lock. May sleep.
 */
void tracker_renew_map(struct tracker *tracker);

/* Of blkfilter_operations. */
void tracker_gone(struct blkfilter *flt);
void tracker_untracked(struct blkfilter *flt, const char *what);
bool tracker_submit_bio(struct blkfilter *flt, struct bio *bio, sector_t sector,
			sector_t count);

#endif /* _BLKSNAP_TRACKER_H */
