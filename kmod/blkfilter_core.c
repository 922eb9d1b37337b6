// SPDX-License-Identifier: GPL-2.0
/*
 * blkfilter: filters on block devices of a stock kernel.
 *
 * This file decides which filter is on which device: registration, the three
 * ioctls, and what happens when a device goes away. The way of a write is in
 * blkfilter_disk.c, the hooks are in blkfilter_hook.c.
 *
 * Locks, outermost first:
 *   class_mutex     registering with the block class, once
 *   (class lock)    the driver core's, held around remove_dev()
 *   filters_sem     write: attach, detach, move, (un)register; read: ctl
 *   attached_lock   all_filters, their states and holders; never sleeps
 * filters_sem is never taken in remove_dev(): whoever holds it may wait for the
 * device that is being removed. The slow half of a removal runs from a work
 * item.
 *
 * States of a filter (attached_lock; blkfilter.state):
 *
 *   from       by                                          to
 *   (none)     BLKFILTER_ATTACH                            ATTACHED
 *   ATTACHED   BLKFILTER_DETACH                            (none)
 *   ATTACHED   its partition was removed                   LOST
 *   LOST       the partition has a successor               ATTACHED
 *   LOST       it has none                                 LEAVING
 *   ATTACHED,  the disk is being removed                   LEAVING
 *   LOST
 *   LEAVING    @gone was called, nobody holds the device   GONE
 *   GONE       the work item releases it                   (none)
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "blkfilter_disk.h"
#include "blkfilter_hook.h"
#include "blkfilter_requests.h"
#include "blkfilter_restored.h"
#include "blkfilter_selftest.h"
#include "compat.h"

static DECLARE_RWSEM(filters_sem);
static LIST_HEAD(operations); /* blkfilter_operations.link; filters_sem */

static DEFINE_SPINLOCK(attached_lock);
static LIST_HEAD(all_filters); /* blkfilter.attached */
/* A filter is gone, or held no more. */
static DECLARE_WAIT_QUEUE_HEAD(filters_changed);

/* ---- filter modules ---- */

static struct blkfilter_operations *find_operations(const char *name)
{
	struct blkfilter_operations *ops;

	list_for_each_entry(ops, &operations, link)
		if (!strcmp(ops->name, name))
			return ops;
	return NULL;
}

int blkfilter_register(struct blkfilter_operations *ops)
{
	int ret = 0;

	down_write(&filters_sem);
	if (find_operations(ops->name))
		ret = -EEXIST;
	else
		list_add_tail(&ops->link, &operations);
	up_write(&filters_sem);
	return ret;
}
EXPORT_SYMBOL_GPL(blkfilter_register);

void blkfilter_unregister(struct blkfilter_operations *ops)
{
	down_write(&filters_sem);
	list_del(&ops->link);
	up_write(&filters_sem);
}
EXPORT_SYMBOL_GPL(blkfilter_unregister);

/* ---- filters on devices ---- */

static struct blkfilter *find_attached_locked(struct block_device *bdev)
{
	struct blkfilter *flt;

	lockdep_assert_held(&attached_lock);
	list_for_each_entry(flt, &all_filters, attached)
		if (flt->bdev == bdev && flt->state == BLKFILTER_ATTACHED)
			return flt;
	return NULL;
}

/* Under filters_sem, so that the filter stays; NULL if none is attached. */
static struct blkfilter *find_attached(struct block_device *bdev)
{
	struct blkfilter *flt;

	lockdep_assert_held(&filters_sem);
	spin_lock(&attached_lock);
	flt = find_attached_locked(bdev);
	spin_unlock(&attached_lock);
	return flt;
}

/* Returns false if the state was not @from; else the caller goes on with the
 * filter.
 */
static bool change_state(struct blkfilter *flt, enum blkfilter_state from,
			 enum blkfilter_state to)
{
	bool changed;

	spin_lock(&attached_lock);
	changed = flt->state == from;
	if (changed)
		flt->state = to;
	spin_unlock(&attached_lock);
	return changed;
}

/* Takes an attached filter off the list, for its release: a removal may be
 * first. */
static bool delist(struct blkfilter *flt)
{
	bool listed;

	spin_lock(&attached_lock);
	listed = flt->state == BLKFILTER_ATTACHED;
	if (listed)
		list_del(&flt->attached);
	spin_unlock(&attached_lock);
	return listed;
}

static bool disk_is_dead(struct block_device *bdev)
{
	return test_bit(GD_DEAD, &bdev->bd_disk->state);
}

/* A device leaves its disk's table before bdev_removed() is called. */
static bool is_present(struct block_device *bdev)
{
	struct block_device *part;
	unsigned long idx;
	bool found = false;

	rcu_read_lock();
	xa_for_each(&bdev->bd_disk->part_tbl, idx, part)
		found |= part == bdev;
	rcu_read_unlock();
	return found;
}

bool blkfilter_hold_device(struct blkfilter *flt)
{
	bool there;

	spin_lock(&attached_lock);
	there = flt->state == BLKFILTER_ATTACHED ||
		flt->state == BLKFILTER_LOST;
	if (there)
		flt->holders++;
	spin_unlock(&attached_lock);
	return there;
}
EXPORT_SYMBOL_GPL(blkfilter_hold_device);

void blkfilter_release_device(struct blkfilter *flt)
{
	spin_lock(&attached_lock);
	if (!--flt->holders)
		wake_up_all(&filters_changed);
	spin_unlock(&attached_lock);
}
EXPORT_SYMBOL_GPL(blkfilter_release_device);

/*
 * The filter is on no list any more. Called without filters_sem: it waits for
 * submissions.
 */
static void release_filter(struct blkfilter *flt)
{
	const struct blkfilter_operations *ops = flt->ops;
	struct block_device *bdev = flt->bdev;

	disk_hide_filter(flt);
	disk_remove_filter(flt);
	ops->detach(flt);
	blkfilter_unpin(bdev);
	module_put(ops->owner);
}

/*
 * *undone: a filter to release, because its device went meanwhile, or the hooks
 * do not work. *disk: to settle.
 */
static int attach_filter(struct block_device *bdev, const char *name,
			 const void __user *opt, u32 optlen,
			 struct blkfilter **undone, struct hooked_disk **disk)
{
	struct blkfilter_operations *ops;
	struct blkfilter *flt;
	int ret;

	flt = find_attached(bdev);
	if (flt)
		return strcmp(flt->ops->name, name) ? -EBUSY : -EALREADY;
	if (disk_is_dead(bdev))
		return -ENODEV;
	/* A zone append says where it wrote only when it is done. */
	if (bdev_is_zoned(bdev))
		return -EOPNOTSUPP;
	ops = find_operations(name);
	if (!ops || !try_module_get(ops->owner))
		return -ENOENT;

	flt = ops->attach(bdev, opt, optlen);
	if (IS_ERR(flt)) {
		ret = PTR_ERR(flt);
		goto err_module;
	}
	flt->ops = ops;
	flt->bdev = bdev;
	flt->state = BLKFILTER_ATTACHED;
	blkfilter_pin(bdev);
	ret = disk_show_filter(flt);
	if (ret)
		goto err_detach;
	/* The filter keeps the hooks in place that are tested. */
	ret = selftest_hooks();
	if (ret) {
		*undone = flt;
		return ret;
	}
	*disk = disk_to_settle(flt);

	spin_lock(&attached_lock);
	list_add_tail(&flt->attached, &all_filters);
	spin_unlock(&attached_lock);
	pr_info("%pg: filter %s attached\n", bdev, name);
	/* A removal that came before the list knew us has not told us. */
	if ((disk_is_dead(bdev) || !is_present(bdev)) && delist(flt)) {
		*undone = flt;
		return -ENODEV;
	}
	return 0;

err_detach:
	ops->detach(flt);
	blkfilter_unpin(bdev);
err_module:
	module_put(ops->owner);
	return ret;
}

/* *detached: a filter to release. */
static int detach_filter(struct block_device *bdev, const char *name,
			 struct blkfilter **detached)
{
	struct blkfilter *flt = find_attached(bdev);
	int ret;

	if (!flt)
		return -ENOENT;
	if (strcmp(flt->ops->name, name))
		return -EINVAL;
	ret = flt->ops->busy(flt);
	if (ret)
		return ret;
	if (!delist(flt))
		return -ENOENT;
	pr_info("%pg: filter %s detached\n", bdev, name);
	*detached = flt;
	return 0;
}

static int control_filter(struct block_device *bdev, const char *name, u32 cmd,
			  void __user *opt, u32 *optlen)
{
	struct blkfilter *flt = find_attached(bdev);

	if (!flt)
		return -ENOENT;
	if (strcmp(flt->ops->name, name))
		return -EINVAL;
	return flt->ops->ctl(flt, cmd, opt, optlen);
}

/* ---- devices that go away ---- */

static void release_gone_filters(struct work_struct *work);
static DECLARE_WORK(gone_work, release_gone_filters);

/*
 * The device goes: after this nothing of ours does I/O to it or asks its queue.
 * The caller has changed the state.
 */
static void let_go(struct blkfilter *flt)
{
	/* In this order: no write shall pass while it thinks all is well. */
	if (flt->ops->gone)
		disk_call_gone(flt);
	disk_hide_filter(flt);
	wait_event(filters_changed, !READ_ONCE(flt->holders));
	change_state(flt, BLKFILTER_LEAVING, BLKFILTER_GONE);
	wake_up_all(&filters_changed);
	queue_work(system_long_wq, &gone_work);
}

static struct blkfilter *next_gone_filter(void)
{
	struct blkfilter *flt, *found = NULL;

	spin_lock(&attached_lock);
	list_for_each_entry(flt, &all_filters, attached) {
		if (flt->state == BLKFILTER_GONE) {
			list_del(&flt->attached);
			found = flt;
			break;
		}
	}
	spin_unlock(&attached_lock);
	return found;
}

static void release_gone_filters(struct work_struct *work)
{
	struct blkfilter *flt;

	while ((flt = next_gone_filter())) {
		/* ioctls that found the filter before it was gone. */
		down_write(&filters_sem);
		up_write(&filters_sem);
		release_filter(flt);
	}
}

/* ---- partitions that are made anew ---- */

/*
 * Reading a partition table again removes all partitions and makes them anew,
 * as other block devices of the same sectors. The filter goes on meanwhile: it
 * is shown writes by their sectors on the disk, and misses none.
 */

/* Returns the partition that has these sectors now, pinned, or NULL. */
static struct block_device *find_successor(struct block_device *old)
{
	struct block_device *part;
	unsigned long idx;

	lockdep_assert_held(&old->bd_disk->open_mutex);
	xa_for_each_start(&old->bd_disk->part_tbl, idx, part, 1) {
		if (blkfilter_same_sectors(part, old)) {
			blkfilter_pin(part);
			return part;
		}
	}
	return NULL;
}

/* It takes the caller's pin over. False: it is lost again, or gone. */
static bool move_filter(struct blkfilter *flt, struct block_device *bdev)
{
	struct block_device *old = flt->bdev;

	lockdep_assert_held_write(&filters_sem);
	if (flt->ops->moved)
		flt->ops->moved(flt, bdev);
	else
		WRITE_ONCE(flt->bdev, bdev);
	/* submit_bio() may still look at the old partition's sectors. */
	blkfilter_synchronize(flt);
	blkfilter_unpin(old);
	if (!change_state(flt, BLKFILTER_LOST, BLKFILTER_ATTACHED))
		return true;
	/* A removal before the list knew it has not told us. */
	if (!is_present(bdev) &&
	    change_state(flt, BLKFILTER_ATTACHED, BLKFILTER_LOST))
		return false;
	pr_info("%pg: partition table read anew, filter %s stays\n", bdev,
		flt->ops->name);
	return true;
}

static void settle_lost_filters(struct work_struct *work);
static DECLARE_DELAYED_WORK(lost_work, settle_lost_filters);

/* One that is lost, held, or NULL. */
static struct blkfilter *hold_lost_filter(void)
{
	struct blkfilter *flt, *found = NULL;

	spin_lock(&attached_lock);
	list_for_each_entry(flt, &all_filters, attached) {
		if (flt->state == BLKFILTER_LOST) {
			found = flt;
			flt->holders++;
			/* The next call returns another one. */
			list_move_tail(&flt->attached, &all_filters);
			break;
		}
	}
	spin_unlock(&attached_lock);
	return found;
}

/*
 * Returns false if it has to be tried again. Only tries locks: their holders
 * may wait for a removal of the disk, and that waits for us, who hold the
 * device.
 */
static bool settle_lost_filter(struct blkfilter *flt)
{
	struct mutex *open_mutex = &flt->bdev->bd_disk->open_mutex;
	struct block_device *bdev = NULL;
	bool settled = true, dropped = false;

	if (!down_write_trylock(&filters_sem)) {
		blkfilter_release_device(flt);
		return false;
	}
	if (!disk_is_dead(flt->bdev)) {
		/*
		 * Reading a table holds it from the first removal to the last
		 * addition. One disk that hangs there shall not keep the others
		 * waiting.
		 */
		if (!mutex_trylock(open_mutex)) {
			blkfilter_release_device(flt);
			up_write(&filters_sem);
			return false;
		}
		bdev = find_successor(flt->bdev);
		mutex_unlock(open_mutex);
	}
	if (bdev)
		settled = move_filter(flt, bdev);
	else
		dropped = change_state(flt, BLKFILTER_LOST, BLKFILTER_LEAVING);
	/* A dropped filter is LEAVING, so only let_go() ends it. */
	blkfilter_release_device(flt);
	up_write(&filters_sem);
	if (dropped) {
		pr_info("%pg: partition removed, filter %s detached\n",
			flt->bdev, flt->ops->name);
		let_go(flt);
	}
	return settled;
}

static unsigned int count_lost_filters(const struct gendisk *disk)
{
	struct blkfilter *flt;
	unsigned int count = 0;

	spin_lock(&attached_lock);
	list_for_each_entry(flt, &all_filters, attached)
		if (flt->state == BLKFILTER_LOST &&
		    (!disk || flt->bdev->bd_disk == disk))
			count++;
	spin_unlock(&attached_lock);
	return count;
}

static void settle_lost_filters(struct work_struct *work)
{
	unsigned int count = count_lost_filters(NULL);
	struct blkfilter *flt;
	bool settled = true;

	/* Each of them once; more may come, with another run. */
	while (count-- && (flt = hold_lost_filter()))
		settled &= settle_lost_filter(flt);
	if (!settled)
		queue_delayed_work(system_long_wq, &lost_work, HZ / 50);
}

/* Until the disk's partitions are known again. EINTR. */
static int wait_for_lost_filters(struct gendisk *disk)
{
	while (count_lost_filters(disk)) {
		if (mutex_lock_killable(&disk->open_mutex))
			return -EINTR;
		mutex_unlock(&disk->open_mutex);
		flush_delayed_work(&lost_work);
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

/* ---- removals, as the driver core tells them ---- */

static DEFINE_MUTEX(class_mutex);
static bool class_leaving; /* class_interface_unregister() removes everything */

/* True for filters on @bdev and, if it is a whole disk, on its partitions. */
static bool goes_with(const struct blkfilter *flt, struct block_device *bdev)
{
	return flt->bdev == bdev || (!bdev_is_partition(bdev) &&
				     flt->bdev->bd_disk == bdev->bd_disk);
}

/* Marks one such filter LEAVING and returns it, or NULL. */
static struct blkfilter *next_leaving_filter(struct block_device *bdev)
{
	struct blkfilter *flt, *found = NULL;

	spin_lock(&attached_lock);
	list_for_each_entry(flt, &all_filters, attached) {
		if (goes_with(flt, bdev) && (flt->state == BLKFILTER_ATTACHED ||
					     flt->state == BLKFILTER_LOST)) {
			flt->state = BLKFILTER_LEAVING;
			found = flt;
			break;
		}
	}
	spin_unlock(&attached_lock);
	return found;
}

/* True while another task is in let_go() for such a filter. */
static bool others_are_leaving(struct block_device *bdev)
{
	struct blkfilter *flt;
	bool found = false;

	spin_lock(&attached_lock);
	list_for_each_entry(flt, &all_filters, attached)
		found |=
			goes_with(flt, bdev) && flt->state == BLKFILTER_LEAVING;
	spin_unlock(&attached_lock);
	return found;
}

static void lose_filter(struct block_device *bdev)
{
	struct blkfilter *flt;

	spin_lock(&attached_lock);
	flt = find_attached_locked(bdev);
	if (flt)
		flt->state = BLKFILTER_LOST;
	spin_unlock(&attached_lock);
	if (flt)
		queue_delayed_work(system_long_wq, &lost_work, 0);
}

/*
 * The device is being deleted, its queue draining. Its driver may be unloaded
 * when this returns, so everything of ours has let go of it by then. Called
 * with the class lock held, for every device of the class.
 */
static COMPAT_REMOVE_DEV(bdev_removed, dev)
{
	struct block_device *bdev = dev_to_bdev(dev);
	struct blkfilter *flt;

	if (class_leaving)
		return;
	if (bdev_is_partition(bdev) && !disk_is_dead(bdev)) {
		lose_filter(bdev);
		return;
	}
	while ((flt = next_leaving_filter(bdev))) {
		pr_info("%pg: device removed, filter %s detached\n", flt->bdev,
			flt->ops->name);
		let_go(flt);
	}
	wait_event(filters_changed, !others_are_leaving(bdev));
}

static struct class_interface class_watch = {
	.remove_dev = bdev_removed,
};

/* block_class is not exported, but every block device leads to it. */
static int watch_removals(struct block_device *bdev)
{
	int ret = 0;

	mutex_lock(&class_mutex);
	if (!class_watch.class) {
		class_watch.class = bdev->bd_device.class;
		ret = class_interface_register(&class_watch);
		if (ret)
			class_watch.class = NULL;
	}
	mutex_unlock(&class_mutex);
	return ret;
}

static void unwatch_removals(void)
{
	class_leaving = true;
	if (class_watch.class)
		class_interface_unregister(&class_watch);
	flush_delayed_work(&lost_work);
	flush_work(&gone_work);
}

/* ---- ioctls ---- */

static bool name_is_terminated(const u8 *name)
{
	return strnlen(name, BLKFILTER_NAME_LENGTH) < BLKFILTER_NAME_LENGTH;
}

static long ioctl_attach(struct block_device *bdev, void __user *argp)
{
	struct blkfilter *undone = NULL;
	struct hooked_disk *disk = NULL;
	struct blkfilter_attach arg;
	int ret, settled = 0;

	if (copy_from_user(&arg, argp, sizeof(arg)))
		return -EFAULT;
	if (!name_is_terminated(arg.name))
		return -EINVAL;
	ret = watch_removals(bdev);
	if (ret)
		return ret;
	down_write(&filters_sem);
	ret = attach_filter(bdev, arg.name, u64_to_user_ptr(arg.opt),
			    arg.optlen, &undone, &disk);
	up_write(&filters_sem);
	if (disk)
		settled = disk_settle(disk);
	if (!ret && settled) {
		ret = settled;
		down_write(&filters_sem);
		detach_filter(bdev, arg.name, &undone);
		up_write(&filters_sem);
	}
	if (undone)
		release_filter(undone);
	return ret;
}

static long ioctl_detach(struct block_device *bdev, void __user *argp)
{
	struct blkfilter *detached = NULL;
	struct blkfilter_detach arg;
	int ret;

	if (copy_from_user(&arg, argp, sizeof(arg)))
		return -EFAULT;
	if (!name_is_terminated(arg.name))
		return -EINVAL;
	down_write(&filters_sem);
	ret = detach_filter(bdev, arg.name, &detached);
	up_write(&filters_sem);
	if (detached)
		release_filter(detached);
	return ret;
}

static long ioctl_ctl(struct block_device *bdev, void __user *argp)
{
	struct blkfilter_ctl arg;
	int ret;

	if (copy_from_user(&arg, argp, sizeof(arg)))
		return -EFAULT;
	if (!name_is_terminated(arg.name))
		return -EINVAL;
	down_read(&filters_sem);
	ret = control_filter(bdev, arg.name, arg.cmd, u64_to_user_ptr(arg.opt),
			     &arg.optlen);
	up_read(&filters_sem);
	if (!ret && copy_to_user(argp, &arg, sizeof(arg)))
		ret = -EFAULT;
	return ret;
}

static long blkfilter_ioctl(struct block_device *bdev, unsigned int cmd,
			    void __user *argp)
{
	int ret;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	/* This device may be the successor of another. */
	ret = wait_for_lost_filters(bdev->bd_disk);
	if (ret)
		return ret;
	switch (cmd) {
	case BLKFILTER_ATTACH:
		return ioctl_attach(bdev, argp);
	case BLKFILTER_DETACH:
		return ioctl_detach(bdev, argp);
	default:
		return ioctl_ctl(bdev, argp);
	}
}

/* ---- module ---- */

static int __init blkfilter_init(void)
{
	static const struct hook_handlers handlers __initconst = {
		.submit_bio = filtered_submit_bio,
		.request = request_executed,
		.capacity_set = disk_capacity_set,
		.table_replaced = disk_table_replaced,
		.ioctl = blkfilter_ioctl,
	};
	int ret = disks_init();

	if (ret)
		return ret;
	ret = hook_init(&handlers);
	if (ret)
		goto err_disks;
	ret = restored_init();
	if (ret)
		goto err_hook;
	return 0;

err_hook:
	hook_exit();
err_disks:
	disks_exit();
	return ret;
}

/* All filter modules are unloaded: they use symbols of this one. */
static void __exit blkfilter_exit(void)
{
	restored_exit();
	disks_exit();
	hook_exit();
	unwatch_removals();
}

module_init(blkfilter_init);
module_exit(blkfilter_exit);

MODULE_DESCRIPTION("Block device filters on stock kernels");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
