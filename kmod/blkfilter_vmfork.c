// SPDX-License-Identifier: GPL-2.0
/*
 * A machine that is restored with its memory writes a second history of its
 * disks under the generations and numbers of the first one, and a disk that was
 * not saved with the memory has another content. A hypervisor with vmgenid
 * announces a restore, some milliseconds after the machine goes on.
 *
 * Locks: the kernel's notifier chain (rwsem, read) is outermost; inside it are
 * RCU and SRCU read sections only. The chain calls from a worker of ACPI.
 */
#include <linux/notifier.h>
#include <linux/random.h>

#include "blkfilter_disk.h"
#include "blkfilter_vmfork.h"

static const char forked[] =
	"the virtual machine was put back to a saved state, or copied";

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

static struct notifier_block notifier = {
	.notifier_call = vm_forked,
};

int vmfork_init(void)
{
	return register_random_vmfork_notifier(&notifier);
}

void vmfork_exit(void)
{
	unregister_random_vmfork_notifier(&notifier);
}
