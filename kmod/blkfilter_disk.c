// SPDX-License-Identifier: GPL-2.0
/*
 * Disks with filters, and the way of a write past them.
 *
 * Filters are kept by disk, each with its window of sectors: a filter on the
 * whole disk sees what is written through a partition, and the reverse.
 *
 * Lifetime. filtered_submit_bio() finds the disk under RCU and holds the disk's
 * SRCU from before the filters are asked until the original has returned.
 * That one bracket keeps the filters alive, and is the first thing that a drain
 * waits for.
 *
 * When the original returns, a write is in the request queue of its disk. But
 * it may also be queued elsewhere: on current->bio_list if it was submitted
 * from within another's submission (device-mapper above us), with blk-throttle,
 * or in a disk that is not request-based and does as it likes. Such writes are
 * followed to their end (blkfilter_flights.h).
 *
 * A flight is allocated before any filter is shown the write. Waiting for
 * memory here could deadlock, because freeing memory may need this very write;
 * without memory the write is put aside, and a worker submits it again. A
 * reserve for each disk keeps some writes going.
 *
 * A hooked disk pins the memory of its gendisk, and not the device: it may be
 * removed, and then only its address and name are used here.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cgroup.h>
#include <linux/major.h>
#include <linux/part_stat.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include "blkfilter_disk.h"
#include "blkfilter_dm.h"
#include "blkfilter_flights.h"
#include "blkfilter_hook.h"

/*
 * A disk with at least one filter. Published in hooked_disks (RCU); changed
 * under disk_lock.
 */
struct hooked_disk {
	struct hlist_node node;
	struct gendisk *disk; /* its memory is pinned */
	struct srcu_struct srcu;
	struct list_head filters; /* blkfilter.link, SRCU */
	refcount_t users;	  /* filters, drains, deferred bios */
	struct flights flights;
	spinlock_t deferred_lock; /* innermost; taken in interrupts */
	struct bio_list deferred; /* until there is memory to follow them */
	struct delayed_work deferred_work;
	bool settling; /* new writes are deferred */
	bool settled;  /* disk_settle() was called; under hook_mutex */
	struct mutex table_lock; /* alone; held while the table is read */
	u64 table; /* number of device-mapper's, or 0; table_lock */
	struct work_struct free_work;
};

static struct workqueue_struct *free_queue;
static struct workqueue_struct *deferred_queue;

/* Innermost: nothing is taken under it. Taken in device removal too. */
static DEFINE_SPINLOCK(disk_lock);
/* Serialises making and unpublishing disks, and hooking the bio path. */
static DEFINE_MUTEX(hook_mutex);
static unsigned int published_disks;	/* under hook_mutex */
static unsigned int published_dm_disks; /* of these */
static atomic_t existing_disks = ATOMIC_INIT(0);

/* ---- references ---- */

/* The last one has the disk freed, which sleeps, from a worker. Any context. */
static void put_hooked_disk(struct hooked_disk *hd)
{
	if (!refcount_dec_not_one(&hd->users))
		queue_work(free_queue, &hd->free_work);
}

struct hooked_disk *blkfilter_get_disk(struct blkfilter *flt)
{
	struct hooked_disk *hd;

	/*
	 * Not hook_mutex: its holders allocate, and may wait for the caller,
	 * who has frozen file systems.
	 */
	spin_lock(&disk_lock);
	hd = flt->hooked;
	if (hd)
		refcount_inc(&hd->users);
	spin_unlock(&disk_lock);
	return hd;
}
EXPORT_SYMBOL_GPL(blkfilter_get_disk);

/* ---- writes that are put aside ---- */

/* The caller has a reference on @hd. @delay: jiffies. Any context. */
static void defer(struct hooked_disk *hd, struct bio *bio, unsigned long delay)
{
	unsigned long flags;

	/* A worker submits it, so the submitter cannot poll. */
	bio_clear_polled(bio);
	refcount_inc(&hd->users);
	spin_lock_irqsave(&hd->deferred_lock, flags);
	bio_list_add(&hd->deferred, bio);
	spin_unlock_irqrestore(&hd->deferred_lock, flags);
	queue_delayed_work(deferred_queue, &hd->deferred_work, delay);
}

static void submit_deferred(struct work_struct *work)
{
	struct hooked_disk *hd = container_of(
		to_delayed_work(work), struct hooked_disk, deferred_work);
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&hd->deferred_lock);
	bios = hd->deferred;
	bio_list_init(&hd->deferred);
	spin_unlock_irq(&hd->deferred_lock);
	while ((bio = bio_list_pop(&bios))) {
		blkfilter_resubmit(bio); /* or defers it again */
		put_hooked_disk(hd);
	}
}

/* ---- the bio path ---- */

static __always_inline struct hooked_disk *
find_hooked_disk(const struct gendisk *disk)
{
	struct hooked_disk *hd;

	hlist_for_each_entry_rcu(hd, hooked_disk_bucket(disk), node,
				 !preemptible() || lockdep_is_held(&hook_mutex))
		if (hd->disk == disk)
			return hd;
	return NULL;
}

/* May it be somewhere else than in a request queue, once it is submitted? */
static __always_inline bool may_linger(struct bio *bio)
{
	struct request_queue *q = bdev_get_queue(bio->bi_bdev);

	if (current->bio_list || !queue_is_mq(q))
		return true;
#ifdef CONFIG_BLK_DEV_THROTTLING
	/* The root group has no limits, except with version 1 of cgroups. */
	if (q->td && bio->bi_blkg &&
	    (bio->bi_blkg != q->root_blkg ||
	     !cgroup_subsys_on_dfl(io_cgrp_subsys)))
		return true;
#endif
	return false;
}

static __always_inline bool filters_took(struct hooked_disk *hd,
					 struct bio *bio)
{
	struct block_device *bdev = bio->bi_bdev;
	sector_t start = bio->bi_iter.bi_sector;
	sector_t end;
	struct blkfilter *flt;

	/* Relative to the partition, until the block layer has remapped it. */
	if (!bio_flagged(bio, BIO_REMAPPED))
		start += bdev->bd_start_sect;
	end = start + bio_sectors(bio);

	list_for_each_entry_srcu(flt, &hd->filters, link,
				 srcu_read_lock_held(&hd->srcu)) {
		/* Read each time: partitions and disks can be resized. */
		struct block_device *own = READ_ONCE(flt->bdev);
		sector_t first = own->bd_start_sect;
		sector_t count =
			max(bdev_nr_sectors(own), READ_ONCE(flt->sectors));
		sector_t s = max(start, first);
		sector_t e = min(end, first + count);

		if (s < e && flt->ops->submit_bio(flt, bio, s - first, e - s))
			return true;
	}
	return false;
}

static noinline void submit_lingering(struct hooked_disk *hd, struct bio *bio)
{
	struct flight *flight;

	/*
	 * No filter is left, and no flight may outlive the bracket then. Or the
	 * filters have let it pass before, and it is the remainder of a split:
	 * a take waits for its end, so that the gate must not keep it.
	 */
	if (list_empty(&hd->filters) || flights_have(&hd->flights, bio)) {
		call_original(bio);
		return;
	}
	if (unlikely(READ_ONCE(hd->settling))) {
		defer(hd, bio, 1);
		return;
	}
	flight = flight_alloc(&hd->flights, bio);
	if (!flight)
		defer(hd, bio, 1); /* there may be memory then */
	else if (filters_took(hd, bio))
		flight_cancel(flight);
	else
		call_original(flight_begin(flight));
}

static __always_inline void submit_filtered(struct bio *bio)
{
	struct hooked_disk *hd;
	int idx;

	/* RCU's cheapest reader. */
	preempt_disable();
	hd = find_hooked_disk(bio->bi_bdev->bd_disk);
	if (hd)
		idx = srcu_read_lock(&hd->srcu);
	preempt_enable();

	if (!hd) {
		call_original(bio);
		return;
	}
	if (unlikely(may_linger(bio)))
		submit_lingering(hd, bio);
	else if (!filters_took(hd, bio))
		call_original(bio);
	srcu_read_unlock(&hd->srcu, idx);
}

void blkfilter_resubmit(struct bio *bio)
{
	submit_filtered(bio);
}
EXPORT_SYMBOL_GPL(blkfilter_resubmit);

/* Submits at once if the disk has no filter any more. */
static void find_and_defer(struct bio *bio, unsigned long delay)
{
	struct hooked_disk *hd;

	rcu_read_lock();
	hd = find_hooked_disk(bio->bi_bdev->bd_disk);
	/* free_hooked_disk() may be about to unpublish it. */
	if (hd && !refcount_inc_not_zero(&hd->users))
		hd = NULL;
	rcu_read_unlock();
	if (!hd) {
		call_original(bio);
		return;
	}
	defer(hd, bio, delay);
	put_hooked_disk(hd);
}

void blkfilter_requeue(struct bio *bio)
{
	find_and_defer(bio, 0);
}
EXPORT_SYMBOL_GPL(blkfilter_requeue);

void blkfilter_defer(struct bio *bio)
{
	find_and_defer(bio, 1);
}
EXPORT_SYMBOL_GPL(blkfilter_defer);

/* The decrement stays the last thing done. */
void filtered_submit_bio(struct bio *bio)
{
	this_cpu_inc(calls_inside);
	submit_filtered(bio);
	barrier();
	this_cpu_dec(calls_inside);
}

/* ---- changes that are no bios ---- */

bool disk_has_filters(const struct gendisk *disk)
{
	return find_hooked_disk(disk);
}

/* @hd was found under RCU, and is not used after the caller's section. */
static void tell_untracked(struct hooked_disk *hd, const char *what)
{
	int idx = srcu_read_lock(&hd->srcu);
	struct blkfilter *flt;

	list_for_each_entry_srcu(flt, &hd->filters, link,
				 srcu_read_lock_held(&hd->srcu))
		if (flt->ops->untracked)
			flt->ops->untracked(flt, what);
	srcu_read_unlock(&hd->srcu, idx);
}

void disk_tell_untracked(const struct gendisk *disk, const char *what)
{
	struct hooked_disk *hd;

	rcu_read_lock();
	hd = find_hooked_disk(disk);
	if (hd)
		tell_untracked(hd, what);
	rcu_read_unlock();
}

void disks_tell_untracked(bool (*matches)(const struct gendisk *disk,
					  const void *data),
			  const void *data, const char *what)
{
	struct hooked_disk *hd;
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < ARRAY_SIZE(hooked_disks); i++)
		hlist_for_each_entry_rcu(hd, &hooked_disks[i], node)
			if (matches(hd->disk, data))
				tell_untracked(hd, what);
	rcu_read_unlock();
}

/*
 * Sets a size whenever it is given a file, a part of one, or a server (loop.c,
 * nbd.c); another one may have the same size.
 */
static bool sets_size_with_content(const struct gendisk *disk)
{
	unsigned int major = MAJOR(disk->part0->bd_dev);

	return major == LOOP_MAJOR || major == NBD_MAJOR;
}

static const char *why_another_content(const struct gendisk *disk,
				       sector_t sectors)
{
	/* The end of a disk that is being removed is told otherwise. */
	if (test_bit(GD_DEAD, &disk->state))
		return NULL;
	/* It may grow to the same size again, as zram does after a reset. */
	if (sectors < bdev_nr_sectors(disk->part0))
		return "it became smaller";
	return sets_size_with_content(disk) ? "it was given a file or server"
					    : NULL;
}

void disk_capacity_set(const struct gendisk *disk, sector_t sectors)
{
	const char *why;

	rcu_read_lock();
	/* Filters pin the memory of their disk. */
	why = disk_has_filters(disk) ? why_another_content(disk, sectors)
				     : NULL;
	if (why)
		disk_tell_untracked(disk, why);
	rcu_read_unlock();
}

/* Reads the table that the disk has now; returns whether it had the same. */
static bool update_table(struct hooked_disk *hd)
{
	u64 before;
	bool same;

	/* Two that replace it at once must not remember an older one. */
	mutex_lock(&hd->table_lock);
	before = hd->table;
	hd->table = dm_table_number(disk_devt(hd->disk));
	same = hd->table && hd->table == before;
	mutex_unlock(&hd->table_lock);
	return same;
}

/* Returns the disk, referenced, or NULL. */
static struct hooked_disk *find_dm_disk(const struct mapped_device *md)
{
	struct hooked_disk *hd, *found = NULL;
	unsigned int i;

	rcu_read_lock();
	for (i = 0; i < ARRAY_SIZE(hooked_disks) && !found; i++)
		hlist_for_each_entry_rcu(hd, &hooked_disks[i], node)
			/* alloc_dev() in dm.c sets private_data. */
			if (dm_is_disk(hd->disk) &&
			    hd->disk->private_data == md &&
			    refcount_inc_not_zero(&hd->users))
				found = hd;
	rcu_read_unlock();
	return found;
}

void disk_table_replaced(const struct mapped_device *md)
{
	struct hooked_disk *hd = find_dm_disk(md);

	if (!hd)
		return;
	if (!update_table(hd))
		disk_tell_untracked(hd->disk,
				    "its table was replaced by another");
	put_hooked_disk(hd);
}

/* ---- which disks are hooked ---- */

static void unpublish(struct hooked_disk *hd)
{
	lockdep_assert_held(&hook_mutex);
	spin_lock(&disk_lock);
	hlist_del_rcu(&hd->node);
	spin_unlock(&disk_lock);
	if (dm_is_disk(hd->disk) && !--published_dm_disks)
		unhook_dm();
	if (!--published_disks)
		unhook_bio_path();
}

/* Frees the disk, unless it was found and referenced again in between. */
static void free_hooked_disk(struct work_struct *work)
{
	struct hooked_disk *hd =
		container_of(work, struct hooked_disk, free_work);

	if (!refcount_dec_and_mutex_lock(&hd->users, &hook_mutex))
		return;
	unpublish(hd);
	mutex_unlock(&hook_mutex);
	/* After this nobody finds it; after that nobody uses it. */
	synchronize_rcu();
	synchronize_srcu(&hd->srcu);
	/* Callbacks of drains that timed out. */
	srcu_barrier(&hd->srcu);
	cleanup_srcu_struct(&hd->srcu);
	flights_destroy(&hd->flights);
	/* No bio is deferred any more, but the work may still be returning. */
	cancel_delayed_work_sync(&hd->deferred_work);
	mutex_destroy(&hd->table_lock);
	blkfilter_unpin(hd->disk->part0);
	kfree(hd);
	atomic_dec(&existing_disks);
}

/* Places the hooks that the disk needs, and counts the disk. */
static int hook_for(struct gendisk *disk)
{
	int ret = published_disks ? 0 : hook_bio_path();

	lockdep_assert_held(&hook_mutex);
	if (ret)
		return ret;
	if (dm_is_disk(disk)) {
		ret = published_dm_disks ? 0 : hook_dm();
		if (ret) {
			if (!published_disks)
				unhook_bio_path();
			return ret;
		}
		published_dm_disks++;
	}
	published_disks++;
	return 0;
}

static struct hooked_disk *make_hooked_disk(struct gendisk *disk)
{
	struct hooked_disk *hd = kzalloc(sizeof(*hd), GFP_KERNEL);
	int ret;

	lockdep_assert_held(&hook_mutex);
	if (!hd)
		return ERR_PTR(-ENOMEM);
	ret = init_srcu_struct(&hd->srcu);
	if (ret)
		goto err_free;
	ret = flights_init(&hd->flights);
	if (ret)
		goto err_srcu;
	spin_lock_init(&hd->deferred_lock);
	bio_list_init(&hd->deferred);
	INIT_DELAYED_WORK(&hd->deferred_work, submit_deferred);
	INIT_WORK(&hd->free_work, free_hooked_disk);
	hd->disk = disk;
	refcount_set(&hd->users, 1);
	INIT_LIST_HEAD(&hd->filters);
	mutex_init(&hd->table_lock);
	ret = hook_for(disk);
	if (ret)
		goto err_flights;
	blkfilter_pin(disk->part0);
	atomic_inc(&existing_disks);
	spin_lock(&disk_lock);
	hlist_add_head_rcu(&hd->node, hooked_disk_bucket(disk));
	spin_unlock(&disk_lock);
	return hd;

err_flights:
	flights_destroy(&hd->flights);
err_srcu:
	cleanup_srcu_struct(&hd->srcu);
err_free:
	kfree(hd);
	return ERR_PTR(ret);
}

int disk_show_filter(struct blkfilter *flt)
{
	struct hooked_disk *hd;

	mutex_lock(&hook_mutex);
	hd = find_hooked_disk(flt->bdev->bd_disk);
	/* The last user leaves under the mutex: what is found has one. */
	if (hd)
		refcount_inc(&hd->users);
	else
		hd = make_hooked_disk(flt->bdev->bd_disk);
	if (!IS_ERR(hd)) {
		spin_lock(&disk_lock);
		flt->hooked = hd;
		list_add_tail_rcu(&flt->link, &hd->filters);
		flt->shown = true;
		spin_unlock(&disk_lock);
	}
	mutex_unlock(&hook_mutex);
	return PTR_ERR_OR_ZERO(hd);
}

/* ---- writes from before the first filter ---- */

#define SETTLE_SECONDS 10

struct hooked_disk *disk_to_settle(struct blkfilter *flt)
{
	struct hooked_disk *hd = NULL;

	mutex_lock(&hook_mutex);
	if (!flt->hooked->settled && (dm_is_disk(flt->bdev->bd_disk) ||
				      !queue_is_mq(bdev_get_queue(flt->bdev))))
		hd = blkfilter_get_disk(flt);
	flt->hooked->settled = true;
	mutex_unlock(&hook_mutex);
	return hd;
}

/* By the I/O accounting of the disk: 0 for a disk that keeps none. */
static unsigned int writes_in_flight(struct gendisk *disk)
{
	struct block_device *part;
	unsigned long idx;
	long sum = 0;
	int cpu;

	rcu_read_lock();
	xa_for_each(&disk->part_tbl, idx, part)
		for_each_possible_cpu(cpu)
			sum += local_read(&per_cpu_ptr(part->bd_stats, cpu)
						   ->in_flight[1]);
	rcu_read_unlock();
	return max(sum, 0L);
}

static int await_earlier_writes(struct hooked_disk *hd)
{
	unsigned long deadline = jiffies + SETTLE_SECONDS * HZ;
	int ret = 0;

	/* A writer that does not see this yet is followed as a flight. */
	WRITE_ONCE(hd->settling, true);
	while (!ret && writes_in_flight(hd->disk)) {
		schedule_timeout_killable(1);
		if (fatal_signal_pending(current))
			ret = -EINTR;
		else if (time_after(jiffies, deadline))
			ret = -ETIMEDOUT;
	}
	WRITE_ONCE(hd->settling, false);
	if (ret == -ETIMEDOUT)
		pr_err("%s: writes that had begun before did not end within %d s; not attached\n",
		       hd->disk->disk_name, SETTLE_SECONDS);
	return ret;
}

int disk_settle(struct hooked_disk *hd)
{
	int ret = 0;

	if (dm_is_disk(hd->disk))
		update_table(hd);
	if (!queue_is_mq(hd->disk->queue))
		ret = await_earlier_writes(hd);
	put_hooked_disk(hd);
	return ret;
}

void disk_call_gone(struct blkfilter *flt)
{
	int idx = srcu_read_lock(&flt->hooked->srcu);

	flt->ops->gone(flt);
	srcu_read_unlock(&flt->hooked->srcu, idx);
}

void disk_hide_filter(struct blkfilter *flt)
{
	spin_lock(&disk_lock);
	if (flt->shown)
		list_del_rcu(&flt->link);
	flt->shown = false;
	spin_unlock(&disk_lock);
}

void disk_remove_filter(struct blkfilter *flt)
{
	struct hooked_disk *hd = flt->hooked;

	/* Until then a drain finds the disk, and waits as well. */
	synchronize_srcu(&hd->srcu);
	spin_lock(&disk_lock);
	flt->hooked = NULL;
	spin_unlock(&disk_lock);
	put_hooked_disk(hd);
}

/* ---- draining ---- */

/**
 * struct blkfilter_drain - a wait for the writes of one disk, in two steps
 * @rcu:   callback of the brackets' grace period, then of the flights'
 * @hd:    the disk, referenced until the second callback
 * @done:  completed by the second callback
 * @users: the waiter, and the callbacks
 */
struct blkfilter_drain {
	struct rcu_head rcu;
	struct hooked_disk *hd;
	struct completion done;
	refcount_t users;
};

struct blkfilter_drain *blkfilter_drain_alloc(void)
{
	struct blkfilter_drain *drain = kzalloc(sizeof(*drain), GFP_KERNEL);

	if (drain) {
		init_completion(&drain->done);
		refcount_set(&drain->users, 1);
	}
	return drain;
}
EXPORT_SYMBOL_GPL(blkfilter_drain_alloc);

void blkfilter_drain_put(struct blkfilter_drain *drain)
{
	if (drain && refcount_dec_and_test(&drain->users))
		kfree(drain);
}
EXPORT_SYMBOL_GPL(blkfilter_drain_put);

static void flights_have_ended(struct rcu_head *rcu)
{
	struct blkfilter_drain *drain =
		container_of(rcu, struct blkfilter_drain, rcu);

	put_hooked_disk(drain->hd);
	complete(&drain->done);
	blkfilter_drain_put(drain);
}

static void all_are_submitted(struct rcu_head *rcu)
{
	struct blkfilter_drain *drain =
		container_of(rcu, struct blkfilter_drain, rcu);

	call_srcu(&drain->hd->flights.under_way, &drain->rcu,
		  flights_have_ended);
}

void blkfilter_drain_start(struct blkfilter_drain *drain, struct blkfilter *flt)
{
	drain->hd = blkfilter_get_disk(flt);
	if (!drain->hd) {
		complete(&drain->done);
		return;
	}
	refcount_inc(&drain->users);
	call_srcu(&drain->hd->srcu, &drain->rcu, all_are_submitted);
}
EXPORT_SYMBOL_GPL(blkfilter_drain_start);

int blkfilter_drain_wait(struct blkfilter_drain *drain, unsigned long deadline)
{
	long left = max((long)(deadline - jiffies), 0L);

	left = wait_for_completion_killable_timeout(&drain->done, left);
	if (left < 0)
		return -EINTR;
	return left || completion_done(&drain->done) ? 0 : -ETIMEDOUT;
}
EXPORT_SYMBOL_GPL(blkfilter_drain_wait);

void blkfilter_synchronize_disk(struct hooked_disk *disk)
{
	synchronize_srcu(&disk->srcu);
	put_hooked_disk(disk);
}
EXPORT_SYMBOL_GPL(blkfilter_synchronize_disk);

void blkfilter_synchronize(struct blkfilter *flt)
{
	struct hooked_disk *disk = blkfilter_get_disk(flt);

	if (disk)
		blkfilter_synchronize_disk(disk);
}
EXPORT_SYMBOL_GPL(blkfilter_synchronize);

/* ---- module ---- */

static void destroy_queues(void)
{
	if (deferred_queue)
		destroy_workqueue(deferred_queue);
	if (free_queue)
		destroy_workqueue(free_queue);
}

int __init disks_init(void)
{
	int ret = flights_module_init();

	if (ret)
		return ret;
	dm_init();
	free_queue = alloc_workqueue("blkfilter", WQ_UNBOUND, 0);
	/* Reclaim may wait for the writes of this queue. */
	deferred_queue = alloc_workqueue("blkfilter_deferred",
					 WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (free_queue && deferred_queue)
		return 0;
	destroy_queues();
	flights_module_exit();
	return -ENOMEM;
}

void disks_exit(void)
{
	/* Disks that are being freed, or whose last writes have not ended. */
	while (atomic_read(&existing_disks))
		schedule_timeout_uninterruptible(1);
	destroy_queues();
	flights_module_exit();
}
