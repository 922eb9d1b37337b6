// SPDX-License-Identifier: GPL-2.0
/*
 * Holds submit_bio_noacct() as a live patch would: an ftrace user that may
 * redirect its callers, of which a function can have one. This one does not.
 */
#include <linux/ftrace.h>
#include <linux/module.h>

static void notrace pass(unsigned long ip, unsigned long parent_ip,
			 struct ftrace_ops *ops, struct ftrace_regs *fregs)
{
}

static struct ftrace_ops holder = {
	.func = pass,
	.flags = FTRACE_OPS_FL_IPMODIFY,
};

static char function[] = "submit_bio_noacct";

static int __init iphold_init(void)
{
	int ret = ftrace_set_filter(&holder, function, strlen(function), 1);

	if (!ret)
		ret = register_ftrace_function(&holder);
	if (ret)
		ftrace_free_filter(&holder);
	return ret;
}

static void __exit iphold_exit(void)
{
	unregister_ftrace_function(&holder);
	ftrace_free_filter(&holder);
}

module_init(iphold_init);
module_exit(iphold_exit);

MODULE_DESCRIPTION("Holds a function as a live patch would, for tests of blkfilter");
MODULE_LICENSE("GPL");
