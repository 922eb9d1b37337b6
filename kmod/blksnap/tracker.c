// SPDX-License-Identifier: GPL-2.0
/* The path of a write, changes past it, and the end of its device. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "diff_area.h"
#include "diff_job.h"
#include "gate.h"
#include "tracker.h"

/*
 * The image dies before writes pass uncopied: of a partition that is removed,
 * the disk lives on. And nothing more is read from the device. The store and
 * the load in between, here and below, are crossed: one of the two sees the
 * other.
 */
void tracker_gone(struct blkfilter *flt)
{
	struct tracker *tracker = to_tracker(flt);
	struct diff_area *diff;

	WRITE_ONCE(tracker->gone, true);
	smp_mb();
	diff = READ_ONCE(tracker->diff);
	if (diff)
		diff_area_lose_origin(diff);
}

/*
 * Sets the flag, and then kills the image, before the device changes. No read
 * of the image returns new data then, and no later map misses the change. When
 * the machine was restored, that is told some time after it.
 */
void tracker_untracked(struct blkfilter *flt, const char *what)
{
	struct tracker *tracker = to_tracker(flt);
	struct diff_area *diff;

	if (!xchg(&tracker->untracked, true))
		pr_warn("%pg: %s, not tracked: the next backup is a full one\n",
			flt->bdev, what);
	smp_mb();
	diff = READ_ONCE(tracker->diff);
	if (diff)
		diff_area_fail(diff, -ESTALE, what);
}

void tracker_renew_map(struct tracker *tracker)
{
	lockdep_assert_held(&tracker->lock);
	/* Cleared before the map: a change from now on sets it again. */
	if (xchg(&tracker->untracked, false))
		cbt_map_renew(&tracker->map);
}

void tracker_start_copying(struct tracker *tracker, struct diff_area *diff)
{
	WRITE_ONCE(tracker->diff, diff);
	smp_mb();
	if (READ_ONCE(tracker->gone))
		diff_area_lose_origin(diff);
	else if (READ_ONCE(tracker->untracked))
		diff_area_fail(diff, -ESTALE,
			       "changed, not tracked, during the take");
}

static bool copy_on_write(struct tracker *tracker, struct bio *bio,
			  sector_t sector, sector_t count)
{
	struct diff_area *diff = READ_ONCE(tracker->diff);

	return diff && diff_job_cow(diff, bio, sector, count);
}

static noinline bool submit_unmarked(struct tracker *tracker, struct gate *gate,
				     struct bio *bio, sector_t sector,
				     sector_t count)
{
	/* First of all: what waits belongs to the other side of the take. */
	if (gate && gate_hold(gate, bio))
		return true;
	cbt_map_mark(&tracker->map, sector, count, cbt_map_is_discard(bio));
	return copy_on_write(tracker, bio, sector, count);
}

bool tracker_submit_bio(struct blkfilter *flt, struct bio *bio, sector_t sector,
			sector_t count)
{
	struct tracker *tracker = to_tracker(flt);
	/* Pairs with set_gates(): NULL is stored after the new state. */
	struct gate *gate = smp_load_acquire(&tracker->gate);

	if (unlikely(gate) || !cbt_map_is_marked(&tracker->map, sector, count,
						 cbt_map_is_discard(bio)))
		return submit_unmarked(tracker, gate, bio, sector, count);
	return copy_on_write(tracker, bio, sector, count);
}
