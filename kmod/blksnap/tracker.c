// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "diff_area.h"
#include "image.h"
#include "snapshot.h"
#include "tracker.h"

static struct blkfilter *tracker_attach(struct block_device *bdev,
					const void __user *opt, u32 optlen)
{
	struct tracker *tracker = kzalloc(sizeof(*tracker), GFP_KERNEL);
	int ret;

	if (!tracker)
		return ERR_PTR(-ENOMEM);
	mutex_init(&tracker->lock);
	ret = cbt_map_init(&tracker->map, bdev);
	if (ret) {
		kfree(tracker);
		return ERR_PTR(ret);
	}
	return &tracker->filter;
}

static int tracker_busy(struct blkfilter *flt)
{
	struct tracker *tracker = to_tracker(flt);
	int ret;

	mutex_lock(&tracker->lock);
	ret = tracker->member ? -EBUSY : 0;
	mutex_unlock(&tracker->lock);
	return ret;
}

static void tracker_detach(struct blkfilter *flt)
{
	struct tracker *tracker = to_tracker(flt);

	/* Only of a device that went away; otherwise we were busy. */
	snapshot_forget(tracker);
	cbt_map_destroy(&tracker->map);
	mutex_destroy(&tracker->lock);
	kfree(tracker);
}

static void tracker_moved(struct blkfilter *flt, struct block_device *bdev)
{
	struct tracker *tracker = to_tracker(flt);

	mutex_lock(&tracker->lock);
	WRITE_ONCE(flt->bdev, bdev);
	mutex_unlock(&tracker->lock);
}

/*
 * The image dies before writes pass uncopied: of a partition that is removed,
 * the disk lives on. The store and the load in between, here and below, are
 * crossed: one of the two sees the other.
 */
static void tracker_gone(struct blkfilter *flt)
{
	struct tracker *tracker = to_tracker(flt);
	struct diff_area *diff;

	WRITE_ONCE(tracker->gone, true);
	smp_mb();
	diff = READ_ONCE(tracker->diff);
	if (diff)
		diff_area_fail(diff, -ENODEV, "the device was removed");
}

void tracker_start_copying(struct tracker *tracker, struct diff_area *diff)
{
	WRITE_ONCE(tracker->diff, diff);
	smp_mb();
	if (READ_ONCE(tracker->gone))
		diff_area_fail(diff, -ENODEV, "the device was removed");
}

static bool copy_on_write(struct tracker *tracker, struct bio *bio,
			  sector_t sector, sector_t count)
{
	struct diff_area *diff = READ_ONCE(tracker->diff);

	return diff && diff_area_cow(diff, bio, sector, count);
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

static bool tracker_submit_bio(struct blkfilter *flt, struct bio *bio,
			       sector_t sector, sector_t count)
{
	struct tracker *tracker = to_tracker(flt);
	/* Pairs with the release in open_gate(): no gate, then the new state. */
	struct gate *gate = smp_load_acquire(&tracker->gate);

	if (unlikely(gate) || !cbt_map_is_marked(&tracker->map, sector, count,
						 cbt_map_is_discard(bio)))
		return submit_unmarked(tracker, gate, bio, sector, count);
	return copy_on_write(tracker, bio, sector, count);
}

/* ---- BLKFILTER_CTL ---- */

static int ctl_cbtinfo(struct tracker *tracker, void __user *opt, u32 *optlen)
{
	struct blksnap_cbtinfo info = {};

	if (*optlen < sizeof(info))
		return -EINVAL;
	mutex_lock(&tracker->lock);
	info.device_capacity = tracker->map.capacity;
	info.block_size = 1U << tracker->map.block_shift;
	info.block_count = tracker->map.block_count;
	export_uuid(info.generation_id.b, &tracker->map.generation);
	info.changes_number = tracker->map.active - 1;
	mutex_unlock(&tracker->lock);
	*optlen = sizeof(info);
	return copy_to_user(opt, &info, sizeof(info)) ? -EFAULT : 0;
}

/* A part of what the last take has frozen: the map, or the bits of discards. */
static int read_frozen(struct tracker *tracker, u32 cmd, void __user *opt,
		       u32 *optlen)
{
	struct cbt_map *map = &tracker->map;
	struct blksnap_cbtmap arg;
	const u8 *bytes;
	int ret = 0;
	u32 all;

	if (*optlen < sizeof(arg))
		return -EINVAL;
	if (copy_from_user(&arg, opt, sizeof(arg)))
		return -EFAULT;
	mutex_lock(&tracker->lock);
	if (cmd == BLKFILTER_CTL_BLKSNAP_CBTDISCARDS) {
		bytes = (const u8 *)map->frozen_discards;
		all = cbt_map_discards_length(map);
	} else {
		bytes = map->frozen;
		all = map->block_count;
	}
	if (arg.offset >= all)
		ret = -ENODATA;
	else if (copy_to_user(u64_to_user_ptr(arg.buffer), bytes + arg.offset,
			      min(arg.length, all - arg.offset)))
		ret = -EFAULT;
	mutex_unlock(&tracker->lock);
	*optlen = 0;
	return ret;
}

/* Bounds what one call copies into the kernel; more come in rounds. */
#define DIRTY_BATCH 1024U

static bool sectors_are_within(const struct blksnap_sectors *range,
			       u64 capacity)
{
	u64 all = capacity >> SECTOR_SHIFT;

	return range->count && range->offset < all &&
	       range->count <= all - range->offset;
}

static int mark_dirty(struct tracker *tracker,
		      const struct blksnap_cbtdirty *arg,
		      struct blksnap_sectors *batch, bool check_only)
{
	struct blksnap_sectors __user *ranges = u64_to_user_ptr(arg->ranges);
	u32 done, n, i;

	for (done = 0; done < arg->count; done += n) {
		n = min(arg->count - done, DIRTY_BATCH);
		if (copy_from_user(batch, ranges + done, n * sizeof(*batch)))
			return -EFAULT;
		for (i = 0; i < n; i++) {
			/* Once more when marking: they may have changed. */
			if (!sectors_are_within(&batch[i],
						tracker->map.capacity))
				return -EINVAL;
			if (!check_only)
				cbt_map_mark_both(&tracker->map,
						  batch[i].offset,
						  batch[i].count);
			/* A range may be all of a large device. */
			cond_resched();
			if (fatal_signal_pending(current))
				return -EINTR;
		}
	}
	return 0;
}

static int ctl_cbtdirty(struct tracker *tracker, void __user *opt, u32 *optlen)
{
	struct blksnap_cbtdirty arg;
	struct blksnap_sectors *batch;
	int ret;

	if (*optlen < sizeof(arg))
		return -EINVAL;
	if (copy_from_user(&arg, opt, sizeof(arg)))
		return -EFAULT;
	batch = kvmalloc_array(DIRTY_BATCH, sizeof(*batch), GFP_KERNEL);
	if (!batch)
		return -ENOMEM;
	/* A bad range anywhere: nothing is marked. */
	mutex_lock(&tracker->lock);
	ret = mark_dirty(tracker, &arg, batch, true);
	if (!ret)
		ret = mark_dirty(tracker, &arg, batch, false);
	mutex_unlock(&tracker->lock);
	kvfree(batch);
	*optlen = 0;
	return ret;
}

static int ctl_snapshotadd(struct tracker *tracker, void __user *opt,
			   u32 *optlen)
{
	struct blksnap_snapshotadd arg;

	if (*optlen < sizeof(arg))
		return -EINVAL;
	if (copy_from_user(&arg, opt, sizeof(arg)))
		return -EFAULT;
	*optlen = 0;
	return snapshot_add(&arg.id, tracker);
}

static int ctl_snapshotinfo(struct tracker *tracker, void __user *opt,
			    u32 *optlen)
{
	struct blksnap_snapshotinfo info = {};
	int ret = 0;

	if (*optlen < sizeof(info))
		return -EINVAL;
	mutex_lock(&tracker->lock);
	if (tracker->member)
		snapshot_member_info(tracker->member, &info);
	else
		ret = -ENOENT;
	mutex_unlock(&tracker->lock);
	if (ret)
		return ret;
	*optlen = sizeof(info);
	return copy_to_user(opt, &info, sizeof(info)) ? -EFAULT : 0;
}

static int tracker_ctl(struct blkfilter *flt, u32 cmd, void __user *opt,
		       u32 *optlen)
{
	struct tracker *tracker = to_tracker(flt);

	switch (cmd) {
	case BLKFILTER_CTL_BLKSNAP_CBTINFO:
		return ctl_cbtinfo(tracker, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_CBTMAP:
	case BLKFILTER_CTL_BLKSNAP_CBTDISCARDS:
		return read_frozen(tracker, cmd, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_CBTDIRTY:
		return ctl_cbtdirty(tracker, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_SNAPSHOTADD:
		return ctl_snapshotadd(tracker, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_SNAPSHOTINFO:
		return ctl_snapshotinfo(tracker, opt, optlen);
	default:
		return -ENOTTY;
	}
}

static struct blkfilter_operations tracker_operations = {
	.owner = THIS_MODULE,
	.name = BLKSNAP_FILTER_NAME,
	.attach = tracker_attach,
	.busy = tracker_busy,
	.moved = tracker_moved,
	.gone = tracker_gone,
	.detach = tracker_detach,
	.ctl = tracker_ctl,
	.submit_bio = tracker_submit_bio,
};

int tracker_module_init(void)
{
	return blkfilter_register(&tracker_operations);
}

void tracker_module_exit(void)
{
	blkfilter_unregister(&tracker_operations);
}
