// SPDX-License-Identifier: GPL-2.0
/*
 * What intercepts: ftrace hooks on a stock kernel.
 *
 * submit_bio_noacct() is where every bio enters the block layer: of file
 * systems, of device-mapper and md above us, and the remainders of splits. An
 * ftrace callback looks the disk of a write up; if a filter may sit on it, the
 * callback redirects the call to its handler, which asks the filters and calls
 * the original past its fentry, so that it does not come by here again. Reads,
 * and writes to other disks, cost the callback alone; with no filter attached
 * there is no hook.
 *
 * Some changes of a disk are no bios of it. Other callbacks look on where such
 * requests are executed (blkfilter_requests.c), and change nothing.
 *
 * Text: a task that sleeps in the original has our return address on its stack,
 * which tasks RCU does not see; so a per-CPU count of calls is drained between
 * two tasks-RCU grace periods before the module goes.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/ftrace.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/percpu.h>

#include "uapi/blkfilter.h"
#include "blkfilter_hook.h"
#include "compat.h"

/* Calls of our replacements under way; only the sum over CPUs has a meaning. */
DEFINE_PER_CPU(long, calls_inside);
struct hlist_head hooked_disks[1 << DISK_HASH_BITS];
static struct hook_handlers handlers __ro_after_init;

/* Or another disk of the bucket. */
static __always_inline bool may_be_hooked(struct gendisk *disk)
{
	return READ_ONCE(hooked_disk_bucket(disk)->first);
}

/* ---- calling the original ---- */

DEFINE_STATIC_CALL(original_submit_bio_noacct, submit_bio_noacct);
static bool original_is_traced = true; /* it points to the entry */

/* Returns where the function goes on behind its fentry, or NULL. */
static void *behind_fentry(const void *entry)
{
	static const u8 endbr[] = {0xf3, 0x0f, 0x1e, 0xfa};
	static const u8 sealed[] = {0x0f, 0x1f, 0x40, 0x00};
	static const u8 poison[] = {0x66, 0x0f, 0x1f, 0x00};
	static const u8 nop5[] = {0x0f, 0x1f, 0x44, 0x00, 0x00};
	const u8 *p = entry;

	/* The kernel overwrites an ENDBR that no pointer leads to. */
	if (!memcmp(p, endbr, sizeof(endbr)) ||
	    !memcmp(p, sealed, sizeof(sealed)) ||
	    !memcmp(p, poison, sizeof(poison)))
		p += sizeof(endbr);
	return memcmp(p, nop5, sizeof(nop5)) && *p != 0xe8 ? NULL
							   : (void *)(p + 5);
}

static void find_original(void)
{
	void *original = behind_fentry(submit_bio_noacct);

	if (!original) {
		pr_info("unknown entry of submit_bio_noacct: %*ph; calls go through ftrace twice\n",
			16, (const u8 *)submit_bio_noacct);
		return;
	}
	static_call_update(original_submit_bio_noacct, original);
	original_is_traced = false;
}

/* ---- the bio path ---- */

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
	if (may_be_hooked(bio->bi_bdev->bd_disk))
		compat_ftrace_set_ip(fregs, (unsigned long)handlers.submit_bio);
}

#ifdef COMPAT_BDEV_WRITE_PAGE
/* In place of bdev_write_page(): its callers make a bio then. */
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

	if (may_be_hooked(bdev->bd_disk))
		compat_ftrace_set_ip(fregs,
				     (unsigned long)hooked_bdev_write_page);
}
#endif

/* ---- requests that are no bios ---- */

static void notrace request_callback(unsigned long ip, unsigned long parent_ip,
				     struct ftrace_ops *ops,
				     struct ftrace_regs *fregs)
{
	handlers.request((struct request *)compat_ftrace_arg(fregs, 0));
}

/* ---- sizes ---- */

static void notrace capacity_callback(unsigned long ip, unsigned long parent_ip,
				      struct ftrace_ops *ops,
				      struct ftrace_regs *fregs)
{
	handlers.capacity_set(
		(const struct gendisk *)compat_ftrace_arg(fregs, 0),
		compat_ftrace_arg(fregs, 1));
}

/* ---- tables of device-mapper ---- */

struct dm_table;

static struct dm_table *no_swap(struct mapped_device *md,
				struct dm_table *table)
{
	return ERR_PTR(-EINVAL);
}

/* dm_swap_table() past its fentry, while dm_hook is registered. */
DEFINE_STATIC_CALL(original_dm_swap_table, no_swap);

/* In place of dm_swap_table(). */
static noinline struct dm_table *hooked_dm_swap_table(struct mapped_device *md,
						      struct dm_table *table)
{
	struct dm_table *old;

	this_cpu_inc(calls_inside);
	old = static_call(original_dm_swap_table)(md, table);
	if (!IS_ERR(old))
		handlers.table_replaced(md);
	barrier();
	this_cpu_dec(calls_inside);
	return old;
}

static void notrace dm_swap_table_callback(unsigned long ip,
					   unsigned long parent_ip,
					   struct ftrace_ops *ops,
					   struct ftrace_regs *fregs)
{
	compat_ftrace_set_ip(fregs, (unsigned long)hooked_dm_swap_table);
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
	ret = handlers.ioctl(I_BDEV(file->f_mapping->host), cmd,
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
/* The callback looks on, and others may as well. */
#define WATCH_FLAGS FTRACE_OPS_FL_PERMANENT

struct hook {
	struct ftrace_ops ops;
	char *functions[3]; /* with the same first arguments; NULL: none */
};

/* While there is a hooked disk. */
static struct hook bio_hooks[] = {
	{
		.ops = {.func = submit_bio_callback, .flags = HOOK_FLAGS},
		.functions = {"submit_bio_noacct"},
	},
	{
		.ops = {.func = request_callback, .flags = WATCH_FLAGS},
		.functions = {"blk_insert_cloned_request", "blk_execute_rq",
			      "blk_execute_rq_nowait"},
	},
	{
		.ops = {.func = capacity_callback, .flags = WATCH_FLAGS},
		.functions = {"set_capacity", "set_capacity_and_notify"},
	},
#ifdef COMPAT_BDEV_WRITE_PAGE
	{
		.ops = {.func = write_page_callback, .flags = HOOK_FLAGS},
		.functions = {COMPAT_BDEV_WRITE_PAGE},
	},
#endif
};

/* While there is a hooked disk of device-mapper. */
static struct hook dm_hook = {
	.ops = {.func = dm_swap_table_callback, .flags = HOOK_FLAGS},
	.functions = {"dm_swap_table"},
};

/* While the module is loaded. */
static struct hook ioctl_hook = {
	.ops = {.func = ioctl_callback, .flags = HOOK_FLAGS},
	.functions = {"blkdev_ioctl",
		      IS_ENABLED(CONFIG_COMPAT) ? "compat_blkdev_ioctl" : NULL},
};

/*
 * Once for a hook: ftrace_free_filter() leaves it with pointers to what it has
 * freed, so it is for the end only.
 */
static int choose_functions_of(struct hook *hook)
{
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(hook->functions); i++) {
		char *name = hook->functions[i];

		if (!name)
			break;
		ret = ftrace_set_filter(&hook->ops, name, strlen(name), !i);
		if (ret) {
			pr_err("cannot hook %s: %pe; the kernel has no such function, or does not trace it\n",
			       name, ERR_PTR(ret));
			return ret;
		}
	}
	return 0;
}

static int hook_function(struct hook *hook)
{
	int ret = register_ftrace_function(&hook->ops);

	if (ret)
		pr_err("cannot hook %s: %pe%s\n", hook->functions[0],
		       ERR_PTR(ret),
		       ret == -EBUSY
			       ? "; a live patch or another block device filter holds it"
			       : "");
	return ret;
}

static int choose_functions(void)
{
	int ret = choose_functions_of(&ioctl_hook);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bio_hooks) && !ret; i++)
		ret = choose_functions_of(&bio_hooks[i]);
	return ret;
}

static void choose_none(void)
{
	unsigned int i;

	ftrace_free_filter(&ioctl_hook.ops);
	ftrace_free_filter(&dm_hook.ops);
	for (i = 0; i < ARRAY_SIZE(bio_hooks); i++)
		ftrace_free_filter(&bio_hooks[i].ops);
}

static void unhook(unsigned int count)
{
	while (count)
		unregister_ftrace_function(&bio_hooks[--count].ops);
}

static unsigned int bio_path_count;

int hook_bio_path(void)
{
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(bio_hooks); i++) {
		ret = hook_function(&bio_hooks[i]);
		if (ret) {
			unhook(i);
			return ret;
		}
	}
	WRITE_ONCE(bio_path_count, bio_path_count + 1);
	return 0;
}

void unhook_bio_path(void)
{
	unhook(ARRAY_SIZE(bio_hooks));
}

unsigned int hook_bio_path_count(void)
{
	return READ_ONCE(bio_path_count);
}

/* Kprobes know a function of a module by its name; no probe is armed. */
static int find_dm_swap_table(void)
{
	struct kprobe probe = {
		.symbol_name = dm_hook.functions[0],
		.flags = KPROBE_FLAG_DISABLED,
	};
	void *original;
	int ret = register_kprobe(&probe);

	if (ret)
		return ret;
	original = behind_fentry(probe.addr);
	unregister_kprobe(&probe);
	if (!original)
		return -EOPNOTSUPP;
	static_call_update(original_dm_swap_table, original);
	return 0;
}

int hook_dm(void)
{
	int ret = find_dm_swap_table();

	if (ret) {
		pr_err("cannot find dm_swap_table: %pe\n", ERR_PTR(ret));
		return ret;
	}
	/* Each time: device-mapper may have been loaded anew. */
	ret = choose_functions_of(&dm_hook);
	return ret ? ret : hook_function(&dm_hook);
}

void unhook_dm(void)
{
	unregister_ftrace_function(&dm_hook.ops);
}

/* ---- module ---- */

static long calls_inside_sum(void)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(calls_inside, cpu));
	return sum;
}

int __init hook_init(const struct hook_handlers *given)
{
	int ret;

	handlers = *given;
	find_original();
	ret = choose_functions();
	if (!ret)
		ret = hook_function(&ioctl_hook);
	if (ret)
		choose_none();
	return ret;
}

void hook_exit(void)
{
	unregister_ftrace_function(&ioctl_hook.ops);
	/* Tasks that were redirected, but are not counted yet. */
	synchronize_rcu_tasks();
	while (calls_inside_sum())
		schedule_timeout_uninterruptible(1);
	/* Tasks, then interrupts, that are about to return from our code. */
	synchronize_rcu_tasks();
	synchronize_rcu();
	choose_none();
}
