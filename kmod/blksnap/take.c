// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blk-mq.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "diff_area.h"
#include "gate.h"
#include "params.h"
#include "quiesce.h"
#include "randomness.h"
#include "stack.h"
#include "take.h"
#include "tracker.h"

enum part_state {
	PART_OPEN,
	PART_FREEZING, /* by the worker */
	PART_FROZEN,
};

/* A target, and how far the workers are with it. */
struct take_part {
	struct take *take;
	struct take_member *member;
	struct quiesce_target *target; /* in member->targets */
	enum part_state state;	       /* under take.lock */
	struct work_struct sync_work;
};

struct take {
	struct kref ref; /* the caller, and workers */
	spinlock_t lock; /* innermost */
	bool abandoned;	 /* the freezing worker must stop; under @lock */
	struct work_struct find_work;
	struct completion found;
	int find_error;
	atomic_t syncing;
	struct completion synced;
	struct work_struct freeze_work;
	struct completion frozen;
	unsigned int nr_parts;
	struct take_part *parts; /* in the order in which they are frozen */
	unsigned int count;
	struct take_member members[];
};

static struct workqueue_struct *take_queue;

#define for_each_member(take, member)    \
	for ((member) = (take)->members; \
	     (member) < (take)->members + (take)->count; (member)++)
#define for_each_part(take, part)    \
	for ((part) = (take)->parts; \
	     (part) < (take)->parts + (take)->nr_parts; (part)++)

/* ---- life ---- */

static void free_take(struct kref *ref)
{
	struct take *take = container_of(ref, struct take, ref);

	kvfree(take->parts);
	kfree(take);
}

struct take *take_alloc(unsigned int count)
{
	struct take *take =
		kzalloc(struct_size(take, members, count), GFP_KERNEL);

	if (!take)
		return NULL;
	kref_init(&take->ref);
	spin_lock_init(&take->lock);
	init_completion(&take->found);
	init_completion(&take->synced);
	init_completion(&take->frozen);
	return take;
}

struct take_member *take_add(struct take *take, struct tracker *tracker)
{
	struct take_member *member = &take->members[take->count];

	if (cmpxchg(&tracker->taking, false, true)) {
		pr_err("%pg: an earlier take is still waiting for its file system; no snapshot\n",
		       tracker->filter.bdev);
		return ERR_PTR(-EBUSY);
	}
	if (!blkfilter_hold_device(&tracker->filter)) {
		smp_store_release(&tracker->taking, false);
		return ERR_PTR(-ENODEV);
	}
	member->tracker = tracker;
	INIT_LIST_HEAD(&member->targets);
	atomic_set(&member->users, 1);
	take->count++;
	member->drain = blkfilter_drain_alloc();
	return member->drain ? member : ERR_PTR(-ENOMEM);
}

/* Drops the member; the last user releases its device. */
static void put_member(struct take_member *member)
{
	struct tracker *tracker = member->tracker;

	if (!atomic_dec_and_test(&member->users))
		return;
	quiesce_forget(&member->targets);
	blkfilter_drain_put(member->drain);
	smp_store_release(&tracker->taking, false);
	/* After this the tracker may be freed. */
	blkfilter_release_device(&tracker->filter);
}

void take_end(struct take *take)
{
	struct take_member *member;

	for_each_member(take, member)
		put_member(member);
	kref_put(&take->ref, free_take);
}

/* ---- before ---- */

/* A loop device on a frozen file system would never drain. */
static int refuse_loops(struct take *take)
{
	struct take_member *member, *other;

	for_each_member(take, member) {
		for_each_member(take, other) {
			struct block_device *bdev =
				member->tracker->filter.bdev;
			struct block_device *lower =
				other->tracker->filter.bdev;

			if (!stack_loop_is_on(bdev, lower))
				continue;
			pr_err("%pg: its file lies on %pg, which is in the same snapshot; take one of them\n",
			       bdev, lower);
			return -EBUSY;
		}
	}
	return 0;
}

/* ---- waiting ---- */

/* The removal of a device waits for the take, which must end soon then. */
static bool lost_a_device(struct take *take)
{
	struct take_member *member;

	for_each_member(take, member)
		if (READ_ONCE(member->tracker->gone))
			return true;
	return false;
}

/* Returns 0; ETIMEDOUT at @deadline (jiffies); EINTR; ENODEV. */
static int wait_until(struct take *take, struct completion *done,
		      unsigned long deadline)
{
	for (;;) {
		long left = (long)(deadline - jiffies);

		left = clamp(left, 0L, (long)HZ / 10);
		left = wait_for_completion_killable_timeout(done, left);
		if (left > 0 || completion_done(done))
			return 0;
		if (left < 0)
			return -EINTR;
		if (lost_a_device(take))
			return -ENODEV;
		if (time_after_eq(jiffies, deadline))
			return -ETIMEDOUT;
	}
}

/* ---- finding ---- */

static const char *and_others(const struct take *take)
{
	return take->count > 1 ? " and others" : "";
}

static void find_parts(struct work_struct *work)
{
	struct take *take = container_of(work, struct take, find_work);
	struct take_member *member;

	for_each_member(take, member) {
		if (!take->find_error)
			take->find_error = quiesce_find(
				member->tracker->filter.bdev, &member->targets);
		put_member(member);
	}
	complete(&take->found);
	kref_put(&take->ref, free_take);
}

/* Upper devices first: freezing them writes to the lower ones. */
static int compare_heights(const void *a, const void *b)
{
	const struct take_part *x = a, *y = b;

	return x->target->height > y->target->height
		       ? -1
		       : x->target->height < y->target->height;
}

static int make_parts(struct take *take)
{
	struct quiesce_target *target;
	struct take_member *member;
	unsigned int count = 0;

	for_each_member(take, member)
		list_for_each_entry(target, &member->targets, link)
			count++;
	take->parts = kvcalloc(count, sizeof(*take->parts), GFP_KERNEL);
	if (!take->parts)
		return -ENOMEM;
	for_each_member(take, member)
		list_for_each_entry(target, &member->targets, link)
			take->parts[take->nr_parts++] = (struct take_part){
				.take = take,
				.member = member,
				.target = target,
			};
	sort(take->parts, take->nr_parts, sizeof(*take->parts), compare_heights,
	     NULL);
	return 0;
}

/* Finds in a worker, because it waits for file systems of any device. */
static int find(struct take *take, unsigned long deadline)
{
	struct take_member *member;
	int ret;

	kref_get(&take->ref);
	for_each_member(take, member)
		atomic_inc(&member->users);
	INIT_WORK(&take->find_work, find_parts);
	queue_work(take_queue, &take->find_work);
	ret = wait_until(take, &take->found, deadline);
	if (ret == -ETIMEDOUT)
		pr_err("%pg%s: their file systems were not found within %u s (take_sync_timeout); no snapshot\n",
		       take->members->tracker->filter.bdev, and_others(take),
		       READ_ONCE(take_sync_timeout));
	if (!ret)
		ret = take->find_error;
	return ret ?: make_parts(take);
}

/* ---- syncing ---- */

static void sync_part(struct work_struct *work)
{
	struct take_part *part =
		container_of(work, struct take_part, sync_work);
	struct take_member *member = part->member;
	struct take *take = part->take;

	quiesce_sync(part->target);
	put_member(member);
	if (atomic_dec_and_test(&take->syncing))
		complete(&take->synced);
	kref_put(&take->ref, free_take);
}

/* Syncs all parts at the same time. */
static int sync_parts(struct take *take, unsigned long deadline)
{
	struct take_part *part;
	int ret;

	atomic_set(&take->syncing, 1);
	for_each_part(take, part) {
		kref_get(&take->ref);
		atomic_inc(&part->member->users);
		atomic_inc(&take->syncing);
		INIT_WORK(&part->sync_work, sync_part);
		queue_work(take_queue, &part->sync_work);
	}
	if (atomic_dec_and_test(&take->syncing))
		complete(&take->synced);
	ret = wait_until(take, &take->synced, deadline);
	if (ret == -ETIMEDOUT)
		pr_err("%pg%s: not written back within %u s (take_sync_timeout); no snapshot\n",
		       take->members->tracker->filter.bdev, and_others(take),
		       READ_ONCE(take_sync_timeout));
	return ret;
}

/* ---- freezing ---- */

/* Returns false if the take has been abandoned. */
static bool begin_freezing(struct take_part *part)
{
	struct take *take = part->take;
	bool begun;

	spin_lock(&take->lock);
	begun = !take->abandoned;
	if (begun) {
		part->state = PART_FREEZING;
		atomic_inc(&part->member->users);
	}
	spin_unlock(&take->lock);
	return begun;
}

/* Returns false if the take was abandoned: then the worker must thaw. */
static bool end_freezing(struct take_part *part, bool frozen)
{
	struct take *take = part->take;
	bool in_time;

	spin_lock(&take->lock);
	in_time = !take->abandoned;
	part->state = in_time && frozen ? PART_FROZEN : PART_OPEN;
	spin_unlock(&take->lock);
	return in_time;
}

/* Returns false if the worker must not go on to the next part. */
static bool freeze_part(struct take_part *part)
{
	struct take_member *member = part->member;
	bool frozen, in_time;

	if (!begin_freezing(part))
		return false;
	frozen = quiesce_freeze(part->target);
	in_time = end_freezing(part, frozen);
	if (!in_time && frozen)
		quiesce_thaw(part->target);
	put_member(member);
	return in_time;
}

static void freeze_parts(struct work_struct *work)
{
	struct take *take = container_of(work, struct take, freeze_work);
	unsigned int noio = memalloc_noio_save();
	struct take_part *part;

	for_each_part(take, part)
		if (!freeze_part(part))
			break;
	memalloc_noio_restore(noio);
	complete(&take->frozen);
	kref_put(&take->ref, free_take);
}

static int freeze(struct take *take, unsigned long deadline)
{
	struct take_part *part;
	int ret;

	kref_get(&take->ref);
	INIT_WORK(&take->freeze_work, freeze_parts);
	queue_work(take_queue, &take->freeze_work);
	ret = wait_until(take, &take->frozen, deadline);
	if (ret == -ETIMEDOUT)
		for_each_part(take, part)
			if (READ_ONCE(part->state) == PART_FREEZING)
				pr_err("%pg: not frozen within %u s (take_timeout); no snapshot\n",
				       part->target->bdev,
				       READ_ONCE(take_timeout));
	return ret;
}

/* Thaws all parts, except the one that the worker is freezing. */
static void thaw(struct take *take)
{
	unsigned int i;

	spin_lock(&take->lock);
	take->abandoned = true;
	spin_unlock(&take->lock);
	for (i = take->nr_parts; i--;)
		if (take->parts[i].state == PART_FROZEN)
			quiesce_thaw(take->parts[i].target);
}

/* ---- the instant ---- */

static void set_gates(struct take *take, struct gate *gate)
{
	struct take_member *member;

	for_each_member(take, member)
		smp_store_release(&member->tracker->gate, gate);
}

/* Waits until all writes that the filters let pass are queued or done. */
static int drain_filters(struct take *take, unsigned long deadline)
{
	struct take_member *member;
	int ret = 0;

	for_each_member(take, member)
		blkfilter_drain_start(member->drain, &member->tracker->filter);
	for_each_member(take, member) {
		ret = blkfilter_drain_wait(member->drain, deadline);
		if (ret == -ETIMEDOUT)
			pr_err("%pg: writes did not end within %u s (take_timeout); no snapshot\n",
			       member->tracker->filter.bdev,
			       READ_ONCE(take_timeout));
		if (ret)
			break;
	}
	return ret;
}

static struct request_queue *queue_of(struct take_member *member)
{
	return bdev_get_queue(member->tracker->filter.bdev);
}

static int wait_for_queue(struct take_member *member, unsigned long deadline)
{
	/* In slices, because the wait itself ignores signals. */
	while (!blk_mq_freeze_queue_wait_timeout(queue_of(member), HZ / 10)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after_eq(jiffies, deadline)) {
			pr_err("%pg: requests did not end within %u s (take_timeout); no snapshot\n",
			       member->tracker->filter.bdev,
			       READ_ONCE(take_timeout));
			return -ETIMEDOUT;
		}
	}
	return 0;
}

/* Waits until queued requests are done, by freezing all queues at the same
 * time. */
static int drain_queues(struct take *take, unsigned long deadline)
{
	struct take_member *member;
	int ret = 0;

	for_each_member(take, member)
		if (queue_is_mq(queue_of(member)))
			blk_freeze_queue_start(queue_of(member));
	for_each_member(take, member)
		if (!ret && queue_is_mq(queue_of(member)))
			ret = wait_for_queue(member, deadline);
	for_each_member(take, member)
		if (queue_is_mq(queue_of(member)))
			blk_mq_unfreeze_queue(queue_of(member));
	return ret;
}

static void flip(struct take *take)
{
	const struct blksnap_instant now = {
		.id = fresh_random(),
		.time = ktime_get_real_ns(),
	};
	struct take_member *member;

	for_each_member(take, member) {
		if (member->map)
			swap(*member->map, member->tracker->map);
		cbt_map_take(&member->tracker->map, &now);
		diff_area_mark_excluded(member->area, &member->tracker->map);
		tracker_start_copying(member->tracker, member->area);
	}
}

static int take_instant(struct take *take, struct gate *gate,
			unsigned long deadline)
{
	int ret;

	gate_close(gate);
	set_gates(take, gate);
	ret = drain_filters(take, deadline);
	if (!ret)
		ret = drain_queues(take, deadline);
	if (!ret)
		flip(take);
	/* A writer that still sees the gate finds it open. */
	gate_open(gate);
	set_gates(take, NULL);
	return ret;
}

int take_run(struct take *take, struct gate *gate, struct mutex *outer)
{
	struct take_member *member;
	unsigned long deadline;
	unsigned int noio;
	int ret;

	ret = refuse_loops(take);
	if (ret)
		return ret;
	deadline = jiffies + READ_ONCE(take_sync_timeout) * HZ;
	ret = find(take, deadline);
	if (!ret)
		ret = sync_parts(take, deadline);
	if (ret)
		return ret;

	/* Nobody replaces a map from here on. */
	for_each_member(take, member)
		mutex_lock_nest_lock(&member->tracker->lock, outer);
	deadline = jiffies + READ_ONCE(take_timeout) * HZ;
	noio = memalloc_noio_save();
	ret = freeze(take, deadline);
	if (!ret)
		ret = take_instant(take, gate, deadline);
	thaw(take);
	memalloc_noio_restore(noio);
	for_each_member(take, member) {
		/* After a failure a worker may still be at the targets. */
		if (!ret)
			member->quiesced = quiesce_worst(&member->targets);
		mutex_unlock(&member->tracker->lock);
	}
	return ret;
}

/* ---- module ---- */

int take_module_init(void)
{
	take_queue = alloc_workqueue("blksnap_take", WQ_UNBOUND, 0);
	return take_queue ? 0 : -ENOMEM;
}

/* Waits for workers that are returning. */
void take_module_exit(void)
{
	destroy_workqueue(take_queue);
}
