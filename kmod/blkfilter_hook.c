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
 * Not closed: a bio submitted from within another's submission (device-mapper
 * above us) is only queued on current->bio_list when the original returns, and
 * one that blk-throttle holds back goes down later. A drain does not wait for
 * these. Frozen file systems have none.
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
	refcount_t users;	  /* filters, and drains under way */
};

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

static struct hooked_disk *find_hooked_disk(struct gendisk *disk)
{
	struct hooked_disk *hd;

	hlist_for_each_entry_rcu_notrace(hd,
			&disk_table[hash_ptr(disk, DISK_HASH_BITS)], node)
		if (hd->disk == disk)
			return hd;
	return NULL;
}

static bool filters_took(struct hooked_disk *hd, struct bio *bio)
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
		sector_t first = flt->bdev->bd_start_sect;
		sector_t s = max(start, first);
		sector_t e = min(end, first + bdev_nr_sectors(flt->bdev));

		if (s < e && flt->ops->submit_bio(flt, bio, s - first, e - s))
			return true;
	}
	return false;
}

void blkfilter_resubmit(struct bio *bio)
{
	struct hooked_disk *hd;
	int idx;

	rcu_read_lock();
	hd = find_hooked_disk(bio->bi_bdev->bd_disk);
	if (hd)
		idx = srcu_read_lock(&hd->srcu);
	rcu_read_unlock();

	if (!hd) {
		call_original(bio);
		return;
	}
	if (!filters_took(hd, bio))
		call_original(bio);
	srcu_read_unlock(&hd->srcu, idx);
}
EXPORT_SYMBOL_GPL(blkfilter_resubmit);

/* In place of submit_bio_noacct(); the decrement stays the last thing done. */
static noinline void hooked_submit_bio(struct bio *bio)
{
	this_cpu_inc(calls_inside);
	blkfilter_resubmit(bio);
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
	preempt_disable_notrace();
	if (find_hooked_disk(bio->bi_bdev->bd_disk))
		compat_ftrace_set_ip(fregs, (unsigned long)hooked_submit_bio);
	preempt_enable_notrace();
}

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

static struct ftrace_ops submit_bio_ops = {
	.func = submit_bio_callback,
	.flags = HOOK_FLAGS,
};
static struct ftrace_ops ioctl_ops = {
	.func = ioctl_callback,
	.flags = HOOK_FLAGS,
};

/*
 * Once for an ops: ftrace_free_filter() leaves it with pointers to what it has
 * freed, so it is for the end only.
 */
static int choose_functions(struct ftrace_ops *ops, char *first, char *second)
{
	int ret = ftrace_set_filter(ops, first, strlen(first), 1);

	if (!ret && second)
		ret = ftrace_set_filter(ops, second, strlen(second), 0);
	if (ret)
		pr_err("cannot hook %s: %pe; the kernel has no such function, or does not trace it\n",
		       first, ERR_PTR(ret));
	return ret;
}

static int hook_functions(struct ftrace_ops *ops)
{
	int ret = register_ftrace_function(ops);

	if (ret)
		pr_err("cannot hook the block layer: %pe%s\n", ERR_PTR(ret),
		       ret == -EBUSY ?
			       "; a live patch or another block device filter holds it" :
			       "");
	return ret;
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

	find_original();
	ret = choose_functions(&submit_bio_ops, "submit_bio_noacct", NULL);
	if (!ret)
		ret = choose_functions(&ioctl_ops, "blkdev_ioctl",
				       IS_ENABLED(CONFIG_COMPAT) ?
					       "compat_blkdev_ioctl" : NULL);
	if (!ret)
		ret = hook_functions(&ioctl_ops);
	if (ret) {
		ftrace_free_filter(&ioctl_ops);
		ftrace_free_filter(&submit_bio_ops);
	}
	return ret;
}

void hook_exit(void)
{
	unregister_ftrace_function(&ioctl_ops);
	/* Who was redirected, but had not yet counted itself. */
	synchronize_rcu_tasks();
	while (calls_inside_sum())
		schedule_timeout_uninterruptible(1);
	/* Who has counted itself out, but not yet returned. */
	synchronize_rcu_tasks();
	ftrace_free_filter(&ioctl_ops);
	ftrace_free_filter(&submit_bio_ops);
}

/* ---- which disks are hooked ---- */

static struct hooked_disk *make_hooked_disk(struct gendisk *disk)
{
	struct hooked_disk *hd = kzalloc(sizeof(*hd), GFP_KERNEL);
	int ret;

	if (!hd)
		return ERR_PTR(-ENOMEM);
	ret = init_srcu_struct(&hd->srcu);
	if (ret)
		goto err_free;
	hd->disk = disk;
	refcount_set(&hd->users, 1);
	INIT_LIST_HEAD(&hd->filters);
	if (!disk_count) {
		ret = hook_functions(&submit_bio_ops);
		if (ret)
			goto err_srcu;
	}
	disk_count++;
	spin_lock(&disk_lock);
	hlist_add_head_rcu(&hd->node,
			   &disk_table[hash_ptr(disk, DISK_HASH_BITS)]);
	spin_unlock(&disk_lock);
	return hd;

err_srcu:
	cleanup_srcu_struct(&hd->srcu);
err_free:
	kfree(hd);
	return ERR_PTR(ret);
}

static void free_hooked_disk(struct hooked_disk *hd)
{
	spin_lock(&disk_lock);
	hlist_del_rcu(&hd->node);
	spin_unlock(&disk_lock);
	/* After this nobody finds it; after that nobody uses it. */
	synchronize_rcu();
	synchronize_srcu(&hd->srcu);
	cleanup_srcu_struct(&hd->srcu);
	kfree(hd);
	if (!--disk_count)
		unregister_ftrace_function(&submit_bio_ops);
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

static void put_hooked_disk(struct hooked_disk *hd)
{
	if (refcount_dec_and_mutex_lock(&hd->users, &hook_mutex)) {
		free_hooked_disk(hd);
		mutex_unlock(&hook_mutex);
	}
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

void blkfilter_drain(struct blkfilter *flt)
{
	struct hooked_disk *hd;

	/* Not hook_mutex: its holders allocate, and may wait for the caller. */
	spin_lock(&disk_lock);
	hd = flt->hooked;
	if (hd)
		refcount_inc(&hd->users);
	spin_unlock(&disk_lock);
	if (!hd)
		return;
	synchronize_srcu(&hd->srcu);
	put_hooked_disk(hd);
}
EXPORT_SYMBOL_GPL(blkfilter_drain);
