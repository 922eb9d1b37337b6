// SPDX-License-Identifier: GPL-2.0
/*
 * Replaces submit_bio() with a function that jumps into submit_bio_noacct()
 * behind its fentry. So ftrace users of submit_bio_noacct() miss these bios, as
 * on a kernel whose compiler, or a live patch, inlined the one into the other.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/rcupdate.h>

#include "compat.h"

static void (*behind_entry)(struct bio *bio); /* of submit_bio_noacct() */
static atomic_t inside;

static noinline void inlined_submit_bio(struct bio *bio)
{
	behind_entry(bio);
	atomic_dec(&inside);
}

static void notrace redirect(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	atomic_inc(&inside);
	compat_ftrace_set_ip(fregs, (unsigned long)inlined_submit_bio);
}

static struct ftrace_ops bypass = {
	.func = redirect,
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

static char function[] = "submit_bio";

/* The fentry call, or its NOP, has five bytes; an ENDBR of four may precede. */
static int find_behind_entry(void)
{
	static const u8 nop[] = { 0x0f, 0x1f, 0x44, 0x00, 0x00 };
	const u8 *entry = (const u8 *)submit_bio_noacct;

	if (memcmp(entry, nop, sizeof(nop)) && *entry != 0xe8)
		entry += 4;
	if (memcmp(entry, nop, sizeof(nop)) && *entry != 0xe8)
		return -EOPNOTSUPP;
	behind_entry = (void *)(entry + sizeof(nop));
	return 0;
}

static int __init bypass_init(void)
{
	int ret = find_behind_entry();

	if (!ret)
		ret = ftrace_set_filter(&bypass, function, strlen(function), 1);
	if (!ret)
		ret = register_ftrace_function(&bypass);
	if (ret)
		ftrace_free_filter(&bypass);
	return ret;
}

static void __exit bypass_exit(void)
{
	/* Returns when no task is between redirect() and its target. */
	unregister_ftrace_function(&bypass);
	while (atomic_read(&inside))
		msleep(20);
	/* Tasks that are about to return from inlined_submit_bio(). */
	synchronize_rcu_tasks();
	ftrace_free_filter(&bypass);
}

module_init(bypass_init);
module_exit(bypass_exit);

MODULE_DESCRIPTION("Leads submit_bio past the entry of submit_bio_noacct, for tests of blkfilter");
MODULE_LICENSE("GPL");
