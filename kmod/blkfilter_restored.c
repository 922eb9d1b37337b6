// SPDX-License-Identifier: GPL-2.0
/*
 * A machine that is restored with its memory writes a second history of its
 * disks under the generations and numbers of the first one, and a disk that was
 * not saved with the memory has another content. A hypervisor with vmgenid
 * announces a restore, some milliseconds after the machine goes on.
 *
 * A machine that hibernates writes its memory to a disk after it was saved, and
 * is started by another kernel, which may write to disks: no restored map has
 * these writes. The filters are told before the memory is saved, so that it is
 * saved with ended generations, and again afterwards, because a take may have
 * come between.
 *
 * Locks: the kernel's notifier chains (rwsem, read) are outermost; inside them
 * are RCU and SRCU read sections only. The chains call from a worker of ACPI,
 * and from the task that hibernates.
 */
#include <linux/notifier.h>
#include <linux/random.h>
#include <linux/suspend.h>

#include "blkfilter_disk.h"
#include "blkfilter_restored.h"

static const char forked[] =
	"the virtual machine was put back to a saved state, or copied";
static const char hibernated[] = "the machine hibernates";

static bool is_any(const struct gendisk *disk, const void *unused)
{
	return true;
}

static int vm_forked(struct notifier_block *nb, unsigned long action,
		     void *data)
{
	disks_tell_untracked(is_any, NULL, forked);
	return NOTIFY_DONE;
}

static int power_changes(struct notifier_block *nb, unsigned long action,
			 void *data)
{
	if (action == PM_HIBERNATION_PREPARE || action == PM_POST_HIBERNATION)
		disks_tell_untracked(is_any, NULL, hibernated);
	return NOTIFY_DONE;
}

static struct notifier_block fork_notifier = {
	.notifier_call = vm_forked,
};
static struct notifier_block power_notifier = {
	.notifier_call = power_changes,
};

int restored_init(void)
{
	int ret = register_random_vmfork_notifier(&fork_notifier);

	if (ret)
		return ret;
	ret = register_pm_notifier(&power_notifier);
	if (ret)
		unregister_random_vmfork_notifier(&fork_notifier);
	return ret;
}

void restored_exit(void)
{
	unregister_pm_notifier(&power_notifier);
	unregister_random_vmfork_notifier(&fork_notifier);
}
