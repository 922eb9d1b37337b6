// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the calls of one kernel function wait, so that a case can hold a race
 * open: "insmod stall.ko function=NAME", and each call sleeps until the number
 * in .../parameters/pass reaches its own (the first is 1). ".../calls" counts
 * those that came. With usecs=N they sleep for so long instead. Going away
 * lets all of them pass.
 *
 * The function must be one that may sleep, with at most six arguments, all in
 * registers, and traced by ftrace; static ones will do. If it is called by
 * nobody but its own module, that module cannot go meanwhile; see to that.
 */
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>

#include "compat.h"

static char *function;
module_param(function, charp, 0444);
static unsigned int usecs;
module_param(usecs, uint, 0444);
static unsigned int pass;
module_param(pass, uint, 0644);
static atomic_t calls;

static int get_calls(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&calls));
}
static const struct kernel_param_ops calls_ops = { .get = get_calls };
module_param_cb(calls, &calls_ops, NULL, 0444);

typedef unsigned long function_t(unsigned long, unsigned long, unsigned long,
				 unsigned long, unsigned long, unsigned long);
static function_t *original; /* past its fentry */
static bool leaving;
static atomic_t inside;

static noinline unsigned long stalled(unsigned long a, unsigned long b,
				      unsigned long c, unsigned long d,
				      unsigned long e, unsigned long f)
{
	unsigned int number = atomic_inc_return(&calls);
	unsigned long ret;

	if (usecs)
		usleep_range(usecs, usecs + usecs / 8);
	else
		while (number > READ_ONCE(pass) && !READ_ONCE(leaving))
			usleep_range(500, 1000);
	ret = READ_ONCE(original)(a, b, c, d, e, f);
	atomic_dec(&inside);
	return ret;
}

static void notrace redirect(unsigned long ip, unsigned long parent_ip,
			     struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
	atomic_inc(&inside);
	WRITE_ONCE(original, (function_t *)(ip + MCOUNT_INSN_SIZE));
	compat_ftrace_set_ip(fregs, (unsigned long)stalled);
}

static struct ftrace_ops stall = {
	.func = redirect,
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

static int __init stall_init(void)
{
	int ret = function ? 0 : -EINVAL;

	if (!ret)
		ret = ftrace_set_filter(&stall, function, strlen(function), 1);
	if (!ret)
		ret = register_ftrace_function(&stall);
	if (ret)
		ftrace_free_filter(&stall);
	return ret;
}

static void __exit stall_exit(void)
{
	/* Nobody is between the callback and the first line after this. */
	unregister_ftrace_function(&stall);
	WRITE_ONCE(leaving, true);
	while (atomic_read(&inside))
		msleep(20);
	/* Nor at the last words. */
	synchronize_rcu_tasks();
	ftrace_free_filter(&stall);
}

module_init(stall_init);
module_exit(stall_exit);

MODULE_DESCRIPTION("Makes the calls of a kernel function wait, for tests of races");
MODULE_LICENSE("GPL");
