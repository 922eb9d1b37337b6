// SPDX-License-Identifier: GPL-2.0
/*
 * What intercepts: ftrace hooks on a stock kernel.
 *
 * submit_bio_noacct() is where every bio enters the block layer: of file
 * systems, of device-mapper and md above us, and the remainders of splits. An
 * ftrace callback looks the disk of a write up; if a filter sits on it, the
 * callback redirects the call to hooked_submit_bio(), which asks the filters
 * and calls the original past its fentry, so that it does not come by here
 * again. Reads, and writes to other disks, cost the callback alone; with no
 * filter attached there is no hook.
 *
 * Filters are kept by disk, each with its window of sectors: a filter on the
 * whole disk sees what is written through a partition, and the reverse.
 *
 * Lifetime. hooked_submit_bio() finds the disk under RCU and holds the disk's
 * SRCU from before the filters are asked until the original has returned.
 * That one bracket keeps the filters alive, and is what blkfilter_drain()
 * waits for. Text: a task that sleeps in the original has our return address
 * on its stack, which tasks RCU does not see; so a per-CPU count of calls is
 * drained between two tasks-RCU grace periods before the module goes.
 *
 * Flights. When the original returns, a write is in the request queue of its
 * disk. But it may also be queued elsewhere: on current->bio_list if it was
 * submitted from within another's submission (device-mapper above us), with
 * blk-throttle, or in a disk that is not request-based and does as it likes.
 * Of these writes the end is awaited: their bi_end_io passes through here.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/hash.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/static_call.h>

#include "blkfilter_hook.h"
#include "compat.h"

#define DISK_HASH_BITS 6

/*
 * A disk with at least one filter. Published in disk_table (RCU); changed
 * under disk_lock.
 */
struct hooked_disk {
	struct hlist_node node;
	struct gendisk *disk;
	struct srcu_struct srcu;
	struct list_head filters; /* blkfilter.link, SRCU */
	refcount_t users;	  /* filters, drains, flights */
	struct srcu_struct flights; /* a read lock is a flight */
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

/* Innermost: nothing is taken under it. Taken in device removal too. */
static DEFINE_SPINLOCK(disk_lock);
static struct hlist_head disk_table[1 << DISK_HASH_BITS];
/* Who makes and frees hooked disks, and hooks the bio path. */
static DEFINE_MUTEX(hook_mutex);
static unsigned int disk_count;

/* Calls of our replacements that have not returned; the sum over CPUs counts. */
static DEFINE_PER_CPU(long, calls_inside);

/* ---- calling the original ---- */

/*
 * Points past the fentry of submit_bio_noacct(), where a call is not traced.
 * Where the entry does not look as known, it points to the entry, and the
 * callback knows our calls by their return address.
 */
DEFINE_STATIC_CALL(original_submit_bio_noacct, submit_bio_noacct);
static bool original_is_traced = true;

static void find_original(void)
{
	static const u8 endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	static const u8 nop5[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	const u8 *entry = (const u8 *)submit_bio_noacct;
	const u8 *p = entry;

	if (!memcmp(p, endbr, sizeof(endbr)))
		p += sizeof(endbr);
	if (memcmp(p, nop5, sizeof(nop5)) && *p != 0xe8) {
		pr_info("unknown entry of submit_bio_noacct: %*ph; calls go through ftrace twice\n",
			16, entry);
		return;
	}
	static_call_update(original_submit_bio_noacct, (void *)(p + 5));
	original_is_traced = false;
}

static void call_original(struct bio *bio)
{
	static_call(original_submit_bio_noacct)(bio);
	/* Were this a jump, the return address would not be in this module. */
	barrier();
}

/* ---- the bio path ---- */

static __always_inline struct hlist_head *bucket_of(struct gendisk *disk)
{
	return &disk_table[hash_ptr(disk, DISK_HASH_BITS)];
}

static struct hooked_disk *find_hooked_disk(struct gendisk *disk)
{
	struct hooked_disk *hd;

	hlist_for_each_entry_rcu_notrace(hd, bucket_of(disk), node)
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

static void flight_done(struct bio *bio)
{
	struct flight *flight = bio->bi_private;
	struct hooked_disk *hd = flight->hd;

	this_cpu_inc(calls_inside);
	bio->bi_end_io = flight->end_io;
	bio->bi_private = flight->private;
	__srcu_read_unlock(&hd->flights, flight->idx);
	kmem_cache_free(flight_cache, flight);
	/* The last one frees the disk, which sleeps. */
	if (!refcount_dec_not_one(&hd->users))
		queue_work(put_queue, &hd->put_work);
	/* Not bio_endio(), which has done its work. */
	if (bio->bi_end_io)
		bio->bi_end_io(bio);
	barrier();
	this_cpu_dec(calls_inside);
}

static void begin_flight(struct hooked_disk *hd, struct bio *bio)
{
	struct flight *flight;

	/* What is left of a bio that was split comes by again. */
	if (bio->bi_end_io == flight_done &&
	    ((struct flight *)bio->bi_private)->hd == hd)
		return;
	/* No waiting: those that we would wait for may wait for us. */
	flight = kmem_cache_alloc(flight_cache, GFP_ATOMIC | __GFP_NOWARN);
	if (!flight) {
		pr_warn_ratelimited("%pg: no memory to follow a write; a snapshot that is being taken may miss it\n",
				    bio->bi_bdev);
		return;
	}
	refcount_inc(&hd->users);
	flight->hd = hd;
	flight->idx = __srcu_read_lock(&hd->flights);
	flight->end_io = bio->bi_end_io;
	flight->private = bio->bi_private;
	bio->bi_end_io = flight_done;
	bio->bi_private = flight;
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
	if (!filters_took(hd, bio)) {
		if (may_linger(bio))
			begin_flight(hd, bio);
		call_original(bio);
	}
	srcu_read_unlock(&hd->srcu, idx);
}

void blkfilter_resubmit(struct bio *bio)
{
	submit_filtered(bio);
}
EXPORT_SYMBOL_GPL(blkfilter_resubmit);

/* In place of submit_bio_noacct(); the decrement stays the last thing done. */
static noinline void hooked_submit_bio(struct bio *bio)
{
	this_cpu_inc(calls_inside);
	submit_filtered(bio);
	barrier();
	this_cpu_dec(calls_inside);
}

static void notrace submit_bio_callback(unsigned long ip,
					unsigned long parent_ip,
					struct ftrace_ops *ops,
					struct ftrace_regs *fregs)
{
	struct bio *bio = (struct bio *)compat_ftrace_arg(fregs, 0);

	/* A flush without data changes nothing. */
	if (!op_is_write(bio_op(bio)) || !bio->bi_iter.bi_size)
		return;
	if (original_is_traced && within_module(parent_ip, THIS_MODULE))
		return;
	/* It may be another disk's: who looks closely is RCU's reader. */
	if (READ_ONCE(bucket_of(bio->bi_bdev->bd_disk)->first))
		compat_ftrace_set_ip(fregs, (unsigned long)hooked_submit_bio);
}

#ifdef COMPAT_BDEV_WRITE_PAGE
/* In place of bdev_write_page() on a hooked disk: its callers make a bio then. */
static noinline int hooked_bdev_write_page(struct block_device *bdev,
					   sector_t sector, struct page *page,
					   struct writeback_control *wbc)
{
	return -EOPNOTSUPP;
}

static void notrace write_page_callback(unsigned long ip,
					unsigned long parent_ip,
					struct ftrace_ops *ops,
					struct ftrace_regs *fregs)
{
	struct block_device *bdev =
		(struct block_device *)compat_ftrace_arg(fregs, 0);

	preempt_disable_notrace();
	if (find_hooked_disk(bdev->bd_disk))
		compat_ftrace_set_ip(fregs,
				     (unsigned long)hooked_bdev_write_page);
	preempt_enable_notrace();
}
#endif

/* ---- ioctls on the fd of a block device ---- */

static bool is_our_ioctl(unsigned int cmd)
{
	return cmd == BLKFILTER_ATTACH || cmd == BLKFILTER_DETACH ||
	       cmd == BLKFILTER_CTL;
}

/* In place of blkdev_ioctl() and compat_blkdev_ioctl(), for our words alone. */
static noinline long hooked_blkdev_ioctl(struct file *file, unsigned int cmd,
					 unsigned long arg)
{
	long ret;

	this_cpu_inc(calls_inside);
	ret = blkfilter_ioctl(I_BDEV(file->f_mapping->host), cmd,
			      (void __user *)arg);
	barrier();
	this_cpu_dec(calls_inside);
	return ret;
}

static void notrace ioctl_callback(unsigned long ip, unsigned long parent_ip,
				   struct ftrace_ops *ops,
				   struct ftrace_regs *fregs)
{
	if (is_our_ioctl(compat_ftrace_arg(fregs, 1)))
		compat_ftrace_set_ip(fregs, (unsigned long)hooked_blkdev_ioctl);
}

/* ---- registering with ftrace ---- */

/*
 * IPMODIFY: the callback redirects; one such user a function. PERMANENT:
 * kernel.ftrace_enabled=0 is refused instead of silently losing writes.
 * No RECURSION: the callbacks call nothing that is hooked here.
 */
#define HOOK_FLAGS (FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT)

struct hook {
	struct ftrace_ops ops;
	char *function;
	char *twin; /* with the same arguments, or NULL */
};

/* While there is a hooked disk. */
static struct hook bio_hooks[] = {
	{
		.ops = { .func = submit_bio_callback, .flags = HOOK_FLAGS },
		.function = "submit_bio_noacct",
	},
#ifdef COMPAT_BDEV_WRITE_PAGE
	{
		.ops = { .func = write_page_callback, .flags = HOOK_FLAGS },
		.function = COMPAT_BDEV_WRITE_PAGE,
	},
#endif
};

/* While the module is loaded. */
static struct hook ioctl_hook = {
	.ops = { .func = ioctl_callback, .flags = HOOK_FLAGS },
	.function = "blkdev_ioctl",
	.twin = IS_ENABLED(CONFIG_COMPAT) ? "compat_blkdev_ioctl" : NULL,
};

/*
 * Once for a hook: ftrace_free_filter() leaves it with pointers to what it has
 * freed, so it is for the end only.
 */
static int choose_function(struct hook *hook)
{
	int ret = ftrace_set_filter(&hook->ops, hook->function,
				    strlen(hook->function), 1);

	if (!ret && hook->twin)
		ret = ftrace_set_filter(&hook->ops, hook->twin,
					strlen(hook->twin), 0);
	if (ret)
		pr_err("cannot hook %s: %pe; the kernel has no such function, or does not trace it\n",
		       hook->function, ERR_PTR(ret));
	return ret;
}

static int hook_function(struct hook *hook)
{
	int ret = register_ftrace_function(&hook->ops);

	if (ret)
		pr_err("cannot hook %s: %pe%s\n", hook->function, ERR_PTR(ret),
		       ret == -EBUSY ?
			       "; a live patch or another block device filter holds it" :
			       "");
	return ret;
}

static int choose_functions(void)
{
	int ret = choose_function(&ioctl_hook);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bio_hooks) && !ret; i++)
		ret = choose_function(&bio_hooks[i]);
	return ret;
}

static void choose_none(void)
{
	unsigned int i;

	ftrace_free_filter(&ioctl_hook.ops);
	for (i = 0; i < ARRAY_SIZE(bio_hooks); i++)
		ftrace_free_filter(&bio_hooks[i].ops);
}

static void unhook_bio_path(unsigned int count)
{
	while (count)
		unregister_ftrace_function(&bio_hooks[--count].ops);
}

static int hook_bio_path(void)
{
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(bio_hooks); i++) {
		ret = hook_function(&bio_hooks[i]);
		if (ret) {
			unhook_bio_path(i);
			return ret;
		}
	}
	return 0;
}

static long calls_inside_sum(void)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(calls_inside, cpu));
	return sum;
}

int hook_init(void)
{
	int ret;

	flight_cache = KMEM_CACHE(flight, 0);
	if (!flight_cache)
		return -ENOMEM;
	put_queue = alloc_workqueue("blkfilter", WQ_UNBOUND, 0);
	if (!put_queue) {
		kmem_cache_destroy(flight_cache);
		return -ENOMEM;
	}
	find_original();
	ret = choose_functions();
	if (!ret)
		ret = hook_function(&ioctl_hook);
	if (ret) {
		choose_none();
		destroy_workqueue(put_queue);
		kmem_cache_destroy(flight_cache);
	}
	return ret;
}

void hook_exit(void)
{
	/* Disks that only flights hold. */
	while (READ_ONCE(disk_count))
		schedule_timeout_uninterruptible(1);
	unregister_ftrace_function(&ioctl_hook.ops);
	/* Who was redirected, but had not yet counted itself. */
	synchronize_rcu_tasks();
	while (calls_inside_sum())
		schedule_timeout_uninterruptible(1);
	/* Who has counted itself out, but not yet returned: tasks; interrupts. */
	synchronize_rcu_tasks();
	synchronize_rcu();
	choose_none();
	destroy_workqueue(put_queue);
	kmem_cache_destroy(flight_cache);
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
	kfree(hd);
	if (disk_count == 1)
		unhook_bio_path(ARRAY_SIZE(bio_hooks));
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
	INIT_WORK(&hd->put_work, put_work);
	hd->disk = disk;
	refcount_set(&hd->users, 1);
	INIT_LIST_HEAD(&hd->filters);
	if (!disk_count) {
		ret = hook_bio_path();
		if (ret)
			goto err_flights;
	}
	disk_count++;
	spin_lock(&disk_lock);
	hlist_add_head_rcu(&hd->node, bucket_of(disk));
	spin_unlock(&disk_lock);
	return hd;

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

	/* Not hook_mutex: its holders allocate, and may wait for the caller. */
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
	put_hooked_disk(hd);
}
EXPORT_SYMBOL_GPL(blkfilter_drain);

int blkfilter_drain_flights(struct blkfilter *flt, unsigned long timeout)
{
	struct hooked_disk *hd = get_hooked_disk(flt);
	int ret;

	if (!hd)
		return 0;
	ret = wait_for_flights(hd, timeout);
	put_hooked_disk(hd);
	return ret;
}
EXPORT_SYMBOL_GPL(blkfilter_drain_flights);
