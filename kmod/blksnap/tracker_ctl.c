// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "snapshot.h"
#include "stack.h"
#include "tracker.h"
#include "tracker_ctl.h"

/* ---- attaching and detaching ---- */

/* A multipath map sends requests to its paths, and these are no bios. */
static int refuse_path(struct block_device *bdev)
{
	char map[DISK_NAME_LEN];

	if (!stack_find_multipath(bdev, map))
		return 0;
	pr_err("%pg: a path of the multipath map %s, which writes to it past any filter; attach to /dev/%s\n",
	       bdev, map, map);
	return -EBUSY;
}

static struct blkfilter *tracker_attach(struct block_device *bdev,
					const void __user *opt, u32 optlen)
{
	struct tracker *tracker = kzalloc(sizeof(*tracker), GFP_KERNEL);
	int ret;

	if (!tracker)
		return ERR_PTR(-ENOMEM);
	mutex_init(&tracker->lock);
	ret = refuse_path(bdev);
	if (!ret)
		ret = cbt_map_init(&tracker->map, bdev);
	if (ret) {
		kfree(tracker);
		return ERR_PTR(ret);
	}
	tracker->filter.sectors = tracker->map.capacity >> SECTOR_SHIFT;
	return &tracker->filter;
}

static int tracker_busy(struct blkfilter *flt)
{
	struct tracker *tracker = to_tracker(flt);
	int ret;

	mutex_lock(&tracker->lock);
	ret = tracker->member || READ_ONCE(tracker->taking) ? -EBUSY : 0;
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

/* ---- BLKFILTER_CTL ---- */

static int ctl_cbtinfo(struct tracker *tracker, void __user *opt, u32 *optlen)
{
	struct blksnap_cbtinfo info = {};

	if (*optlen < sizeof(info))
		return -EINVAL;
	mutex_lock(&tracker->lock);
	tracker_renew_map(tracker);
	info.device_capacity = tracker->map.capacity;
	info.block_size = 1U << tracker->map.block_shift;
	info.block_count = tracker->map.block_count;
	export_uuid(info.generation_id.b, &tracker->map.generation);
	info.changes_number = tracker->map.active - 1;
	mutex_unlock(&tracker->lock);
	*optlen = sizeof(info);
	return copy_to_user(opt, &info, sizeof(info)) ? -EFAULT : 0;
}

static int ctl_cbtinstants(struct tracker *tracker, void __user *opt,
			   u32 *optlen)
{
	struct blksnap_cbtinstants *told;
	int ret;

	if (*optlen < sizeof(*told))
		return -EINVAL;
	told = kzalloc(sizeof(*told), GFP_KERNEL);
	if (!told)
		return -ENOMEM;
	mutex_lock(&tracker->lock);
	tracker_renew_map(tracker);
	export_uuid(told->generation_id.b, &tracker->map.generation);
	told->changes_number = tracker->map.active - 1;
	memcpy(told->instants, tracker->map.instants, sizeof(told->instants));
	mutex_unlock(&tracker->lock);
	*optlen = sizeof(*told);
	ret = copy_to_user(opt, told, sizeof(*told)) ? -EFAULT : 0;
	kfree(told);
	return ret;
}

/* Returns the frozen map, or the frozen bits of discards. */
static const u8 *frozen_bytes(const struct cbt_map *map, u32 cmd, u32 *length)
{
	if (cmd == BLKFILTER_CTL_BLKSNAP_CBTDISCARDS) {
		*length = cbt_map_discards_length(map);
		return (const u8 *)map->frozen_discards;
	}
	*length = map->block_count;
	return map->frozen;
}

/* User memory is faulted in by pieces of this size. */
#define FAULT_IN_BYTES (64U << 10)

/*
 * Copies from *done on, as far as user memory is present. Page faults are not
 * taken here: they may wait for a device, while a take waits for the lock.
 * ENODATA; ESTALE, the caller has seen a generation that has ended since.
 */
static int copy_frozen(struct tracker *tracker, u32 cmd,
		       const struct blksnap_cbtmap *arg, u32 *done, u32 *left)
{
	struct cbt_map *map = &tracker->map;
	u8 __user *to = u64_to_user_ptr(arg->buffer);
	const u8 *bytes;
	u32 all;

	lockdep_assert_held(&tracker->lock);
	if (map->ended)
		return -ESTALE;
	bytes = frozen_bytes(map, cmd, &all);
	if (arg->offset >= all)
		return -ENODATA;
	*left = min(arg->length, all - arg->offset) - *done;
	pagefault_disable();
	*left = copy_to_user(to + *done, bytes + arg->offset + *done, *left);
	pagefault_enable();
	*done = min(arg->length, all - arg->offset) - *left;
	return 0;
}

/* Begins anew if a take comes between two pieces. */
static int read_frozen(struct tracker *tracker, u32 cmd, void __user *opt,
		       u32 *optlen)
{
	u32 done = 0, left = 0, number = 0;
	struct blksnap_cbtmap arg;
	uuid_t generation = {};
	int ret;

	if (*optlen < sizeof(arg))
		return -EINVAL;
	if (copy_from_user(&arg, opt, sizeof(arg)))
		return -EFAULT;
	*optlen = 0;
	for (;;) {
		mutex_lock(&tracker->lock);
		tracker_renew_map(tracker);
		if (number != tracker->map.active ||
		    !uuid_equal(&generation, &tracker->map.generation))
			done = 0;
		number = tracker->map.active;
		generation = tracker->map.generation;
		ret = copy_frozen(tracker, cmd, &arg, &done, &left);
		mutex_unlock(&tracker->lock);
		if (ret || !left)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		left = min(left, FAULT_IN_BYTES);
		if (fault_in_writeable(
			    (char __user *)u64_to_user_ptr(arg.buffer) + done,
			    left) == left)
			return -EFAULT;
	}
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
	int ret = 0;

	for (done = 0; done < arg->count && !ret; done += n) {
		n = min(arg->count - done, DIRTY_BATCH);
		/* Without the lock: page faults may wait for a device. */
		if (copy_from_user(batch, ranges + done, n * sizeof(*batch)))
			return -EFAULT;
		mutex_lock(&tracker->lock);
		for (i = 0; i < n && !ret; i++) {
			/* Once more when marking: they may have changed. */
			if (!sectors_are_within(&batch[i],
						tracker->map.capacity))
				ret = -EINVAL;
			else if (!check_only)
				cbt_map_mark_both(&tracker->map,
						  batch[i].offset,
						  batch[i].count);
			/* A range may be all of a large device. */
			cond_resched();
			if (fatal_signal_pending(current))
				ret = -EINTR;
		}
		mutex_unlock(&tracker->lock);
	}
	return ret;
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
	ret = mark_dirty(tracker, &arg, batch, true);
	if (!ret)
		ret = mark_dirty(tracker, &arg, batch, false);
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

static int ctl_snapshotquiesced(struct tracker *tracker, void __user *opt,
				u32 *optlen)
{
	struct blksnap_quiesced quiesced = {};
	int ret = -ENOENT;

	if (*optlen < sizeof(quiesced))
		return -EINVAL;
	mutex_lock(&tracker->lock);
	if (tracker->member)
		ret = snapshot_member_quiesced(tracker->member, &quiesced);
	mutex_unlock(&tracker->lock);
	if (ret)
		return ret;
	*optlen = sizeof(quiesced);
	return copy_to_user(opt, &quiesced, sizeof(quiesced)) ? -EFAULT : 0;
}

static int tracker_ctl(struct blkfilter *flt, u32 cmd, void __user *opt,
		       u32 *optlen)
{
	struct tracker *tracker = to_tracker(flt);

	switch (cmd) {
	case BLKFILTER_CTL_BLKSNAP_CBTINFO:
		return ctl_cbtinfo(tracker, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_CBTINSTANTS:
		return ctl_cbtinstants(tracker, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_CBTMAP:
	case BLKFILTER_CTL_BLKSNAP_CBTDISCARDS:
		return read_frozen(tracker, cmd, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_CBTDIRTY:
		return ctl_cbtdirty(tracker, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_SNAPSHOTADD:
		return ctl_snapshotadd(tracker, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_SNAPSHOTINFO:
		return ctl_snapshotinfo(tracker, opt, optlen);
	case BLKFILTER_CTL_BLKSNAP_SNAPSHOTQUIESCED:
		return ctl_snapshotquiesced(tracker, opt, optlen);
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
	.untracked = tracker_untracked,
	.detach = tracker_detach,
	.ctl = tracker_ctl,
	.submit_bio = tracker_submit_bio,
};

int tracker_ctl_init(void)
{
	return blkfilter_register(&tracker_operations);
}

void tracker_ctl_exit(void)
{
	blkfilter_unregister(&tracker_operations);
}
