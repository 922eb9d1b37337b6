// SPDX-License-Identifier: GPL-2.0
/*
 * Disks with filters, and the way of a write past them.
 *
 * Filters are kept by disk, each with its window of sectors: a filter on the
 * whole disk sees what is written through a partition, and the reverse.
 *
 * Lifetime. filtered_submit_bio() finds the disk under RCU and holds the disk's
 * SRCU from before the filters are asked until the original has returned.
 * That one bracket keeps the filters alive, and is what blkfilter_drain()
 * waits for.
 *
 * Flights. When the original returns, a write is in the request queue of its
 * disk. But it may also be queued elsewhere: on current->bio_list if it was
 * submitted from within another's submission (device-mapper above us), with
 * blk-throttle, or in a disk that is not request-based and does as it likes.
 * Of these writes the end is awaited: their bi_end_io passes through here.
 *
 * What that needs is allocated before anybody has seen the write. It must not
 * be waited for here (what we would wait for may wait for us), so without it
 * the write is put aside, and comes by again from a worker. A reserve for each
 * disk sees to it that some writes are always under way.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mempool.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/srcu.h>

#include "blkfilter_hook.h"

/* Flights that a disk can always have. */
#define FLIGHT_RESERVE 16

/*
 * A disk with at least one filter. Published in hooked_disks (RCU); changed
 * under disk_lock.
 */
struct hooked_disk {
	struct hlist_node node;
	struct gendisk *disk;
	struct srcu_struct srcu;
	struct list_head filters; /* blkfilter.link, SRCU */
	refcount_t users;	  /* filters, drains, flights, deferred bios */
	struct srcu_struct flights; /* a read lock is a flight */
	mempool_t flight_pool;
	spinlock_t deferred_lock;   /* innermost; taken in interrupts */
	struct bio_list deferred;   /* until there is memory for their flights */
	struct delayed_work deferred_work;
	struct work_struct put_work; /* a put where one may not sleep */
};

/* A write whose end is awaited. */
struct flight {
	struct hooked_disk *hd;
	int idx; /* of hd->flights */
	bio_end_io_t *end_io; /* what the bio had */
	void *private;
};

static struct kmem_cache *flight_cache;
static struct workqueue_struct *put_queue;
static struct workqueue_struct *deferred_queue;

/* Innermost: nothing is taken under it. Taken in device removal too. */
static DEFINE_SPINLOCK(disk_lock);
struct hlist_head hooked_disks[1 << DISK_HASH_BITS];
/* Who makes and frees hooked disks, and hooks the bio path. */
static DEFINE_MUTEX(hook_mutex);
static unsigned int disk_count;

/* ---- flights ---- */

/* May it be somewhere else than in a request queue, once it is submitted? */
static bool may_linger(struct bio *bio)
{
	struct request_queue *q = bdev_get_queue(bio->bi_bdev);

	if (current->bio_list || !queue_is_mq(q))
		return true;
#ifdef CONFIG_BLK_DEV_THROTTLING
	/* The root group has no limits. */
	if (q->td && bio->bi_blkg && bio->bi_blkg != q->root_blkg)
		return true;
#endif
	return false;
}

/* A reference that may be the last where freeing, which sleeps, is not possible. */
static void put_hooked_disk_later(struct hooked_disk *hd)
{
	if (!refcount_dec_not_one(&hd->users))
		queue_work(put_queue, &hd->put_work);
}

static void flight_done(struct bio *bio)
{
	struct flight *flight = bio->bi_private;
	struct hooked_disk *hd = flight->hd;

	this_cpu_inc(calls_inside);
	bio->bi_end_io = flight->end_io;
	bio->bi_private = flight->private;
	__srcu_read_unlock(&hd->flights, flight->idx);
	mempool_free(flight, &hd->flight_pool);
	put_hooked_disk_later(hd);
	/* Not bio_endio(), which has done its work. */
	if (bio->bi_end_io)
		bio->bi_end_io(bio);
	barrier();
	this_cpu_dec(calls_inside);
}

/* What is left of a bio that was split comes by again. */
static bool has_flight(const struct hooked_disk *hd, const struct bio *bio)
{
	return bio->bi_end_io == flight_done &&
	       ((struct flight *)bio->bi_private)->hd == hd;
}

static void begin_flight(struct hooked_disk *hd, struct bio *bio,
			 struct flight *flight)
{
	refcount_inc(&hd->users);
	flight->hd = hd;
	flight->idx = __srcu_read_lock(&hd->flights);
	flight->end_io = bio->bi_end_io;
	flight->private = bio->bi_private;
	bio->bi_end_io = flight_done;
	bio->bi_private = flight;
}

static void defer(struct hooked_disk *hd, struct bio *bio)
{
	unsigned long flags;

	/* Nobody polls a worker's. */
	bio_clear_polled(bio);
	refcount_inc(&hd->users);
	spin_lock_irqsave(&hd->deferred_lock, flags);
	bio_list_add(&hd->deferred, bio);
	spin_unlock_irqrestore(&hd->deferred_lock, flags);
	queue_delayed_work(deferred_queue, &hd->deferred_work, 1);
}

static void submit_deferred(struct work_struct *work)
{
	struct hooked_disk *hd = container_of(to_delayed_work(work),
					      struct hooked_disk, deferred_work);
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&hd->deferred_lock);
	bios = hd->deferred;
	bio_list_init(&hd->deferred);
	spin_unlock_irq(&hd->deferred_lock);
	while ((bio = bio_list_pop(&bios))) {
		blkfilter_resubmit(bio); /* or defers it again */
		put_hooked_disk_later(hd);
	}
}

/* ---- the bio path ---- */

static struct hooked_disk *find_hooked_disk(struct gendisk *disk)
{
	struct hooked_disk *hd;

	hlist_for_each_entry_rcu(hd, hooked_disk_bucket(disk), node,
				 !preemptible() || lockdep_is_held(&hook_mutex))
		if (hd->disk == disk)
			return hd;
	return NULL;
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
		sector_t s = max(start, first);
		sector_t e = min(end, first + bdev_nr_sectors(own));

		if (s < e && flt->ops->submit_bio(flt, bio, s - first, e - s))
			return true;
	}
	return false;
}

static noinline void submit_lingering(struct hooked_disk *hd, struct bio *bio)
{
	struct flight *flight;

	/*
	 * There is nobody to ask: in this bracket, and nothing may refer to the
	 * disk after it. Or all have let it pass, and it is what is left of a
	 * split: a take waits for its end, so the gate must not keep it.
	 */
	if (list_empty(&hd->filters) || has_flight(hd, bio)) {
		call_original(bio);
		return;
	}
	flight = mempool_alloc(&hd->flight_pool, GFP_NOWAIT | __GFP_NOWARN);
	if (!flight) {
		defer(hd, bio);
	} else if (filters_took(hd, bio)) {
		mempool_free(flight, &hd->flight_pool);
	} else {
		begin_flight(hd, bio, flight);
		call_original(bio);
	}
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

/* The decrement stays the last thing done. */
void filtered_submit_bio(struct bio *bio)
{
	this_cpu_inc(calls_inside);
	submit_filtered(bio);
	barrier();
	this_cpu_dec(calls_inside);
}

/* ---- which disks are hooked ---- */

static void free_hooked_disk(struct hooked_disk *hd)
{
	spin_lock(&disk_lock);
	hlist_del_rcu(&hd->node);
	spin_unlock(&disk_lock);
	/* After this nobody finds it; after that nobody uses it. */
	synchronize_rcu();
	synchronize_srcu(&hd->srcu);
	cleanup_srcu_struct(&hd->srcu);
	/* Drains that nobody waits for any more. */
	srcu_barrier(&hd->flights);
	cleanup_srcu_struct(&hd->flights);
	/* Nothing is deferred; it may be at its last words. */
	cancel_delayed_work_sync(&hd->deferred_work);
	mempool_exit(&hd->flight_pool);
	kfree(hd);
	if (disk_count == 1)
		unhook_bio_path();
	WRITE_ONCE(disk_count, disk_count - 1);
}

static void put_hooked_disk(struct hooked_disk *hd)
{
	if (refcount_dec_and_mutex_lock(&hd->users, &hook_mutex)) {
		free_hooked_disk(hd);
		mutex_unlock(&hook_mutex);
	}
}

static void put_work(struct work_struct *work)
{
	put_hooked_disk(container_of(work, struct hooked_disk, put_work));
}

static struct hooked_disk *make_hooked_disk(struct gendisk *disk)
{
	struct hooked_disk *hd = kzalloc(sizeof(*hd), GFP_KERNEL);
	int ret;

	if (!hd)
		return ERR_PTR(-ENOMEM);
	ret = init_srcu_struct(&hd->srcu);
	if (ret)
		goto err_free;
	ret = init_srcu_struct(&hd->flights);
	if (ret)
		goto err_srcu;
	ret = mempool_init_slab_pool(&hd->flight_pool, FLIGHT_RESERVE,
				     flight_cache);
	if (ret)
		goto err_flights;
	spin_lock_init(&hd->deferred_lock);
	bio_list_init(&hd->deferred);
	INIT_DELAYED_WORK(&hd->deferred_work, submit_deferred);
	INIT_WORK(&hd->put_work, put_work);
	hd->disk = disk;
	refcount_set(&hd->users, 1);
	INIT_LIST_HEAD(&hd->filters);
	if (!disk_count) {
		ret = hook_bio_path();
		if (ret)
			goto err_pool;
	}
	disk_count++;
	spin_lock(&disk_lock);
	hlist_add_head_rcu(&hd->node, hooked_disk_bucket(disk));
	spin_unlock(&disk_lock);
	return hd;

err_pool:
	mempool_exit(&hd->flight_pool);
err_flights:
	cleanup_srcu_struct(&hd->flights);
err_srcu:
	cleanup_srcu_struct(&hd->srcu);
err_free:
	kfree(hd);
	return ERR_PTR(ret);
}

int hook_add(struct blkfilter *flt)
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

void hook_call_gone(struct blkfilter *flt)
{
	int idx = srcu_read_lock(&flt->hooked->srcu);

	flt->ops->gone(flt);
	srcu_read_unlock(&flt->hooked->srcu, idx);
}

void hook_unpublish(struct blkfilter *flt)
{
	spin_lock(&disk_lock);
	if (flt->shown)
		list_del_rcu(&flt->link);
	flt->shown = false;
	spin_unlock(&disk_lock);
}

void hook_remove(struct blkfilter *flt)
{
	struct hooked_disk *hd = flt->hooked;

	/* Until then a drain finds the disk, and waits as well. */
	synchronize_srcu(&hd->srcu);
	spin_lock(&disk_lock);
	flt->hooked = NULL;
	spin_unlock(&disk_lock);
	put_hooked_disk(hd);
}

/* Waits until flights are over that began before it. */
struct landing {
	struct rcu_head rcu;
	struct completion done;
	refcount_t users; /* who waits, and the callback */
};

static void put_landing(struct landing *landing)
{
	if (refcount_dec_and_test(&landing->users))
		kfree(landing);
}

static void all_landed(struct rcu_head *rcu)
{
	struct landing *landing = container_of(rcu, struct landing, rcu);

	complete(&landing->done);
	put_landing(landing);
}

static int wait_for_flights(struct hooked_disk *hd, unsigned long timeout)
{
	struct landing *landing = kzalloc(sizeof(*landing), GFP_KERNEL);
	int ret = 0;

	if (!landing)
		return -ENOMEM;
	init_completion(&landing->done);
	refcount_set(&landing->users, 2);
	call_srcu(&hd->flights, &landing->rcu, all_landed);
	if (!wait_for_completion_timeout(&landing->done, timeout))
		ret = -ETIMEDOUT;
	put_landing(landing);
	return ret;
}

/* A reference on the filter's disk, or NULL if it is shown no bios any more. */
static struct hooked_disk *get_hooked_disk(struct blkfilter *flt)
{
	struct hooked_disk *hd;

	/*
	 * Not hook_mutex, here and when it is put: its holders allocate, and may
	 * wait for the caller, who has frozen file systems.
	 */
	spin_lock(&disk_lock);
	hd = flt->hooked;
	if (hd)
		refcount_inc(&hd->users);
	spin_unlock(&disk_lock);
	return hd;
}

void blkfilter_drain(struct blkfilter *flt)
{
	struct hooked_disk *hd = get_hooked_disk(flt);

	if (!hd)
		return;
	synchronize_srcu(&hd->srcu);
	put_hooked_disk_later(hd);
}
EXPORT_SYMBOL_GPL(blkfilter_drain);

int blkfilter_drain_flights(struct blkfilter *flt, unsigned long timeout)
{
	struct hooked_disk *hd = get_hooked_disk(flt);
	int ret;

	if (!hd)
		return 0;
	ret = wait_for_flights(hd, timeout);
	put_hooked_disk_later(hd);
	return ret;
}
EXPORT_SYMBOL_GPL(blkfilter_drain_flights);

/* ---- module ---- */

static void destroy_queues(void)
{
	if (deferred_queue)
		destroy_workqueue(deferred_queue);
	if (put_queue)
		destroy_workqueue(put_queue);
}

int disks_init(void)
{
	flight_cache = KMEM_CACHE(flight, 0);
	if (!flight_cache)
		return -ENOMEM;
	put_queue = alloc_workqueue("blkfilter", WQ_UNBOUND, 0);
	/* Memory may become free by what is written there. */
	deferred_queue = alloc_workqueue("blkfilter_deferred",
					 WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (put_queue && deferred_queue)
		return 0;
	destroy_queues();
	kmem_cache_destroy(flight_cache);
	return -ENOMEM;
}

void disks_exit(void)
{
	/* Those that only flights hold. */
	while (READ_ONCE(disk_count))
		schedule_timeout_uninterruptible(1);
	destroy_queues();
	kmem_cache_destroy(flight_cache);
}
