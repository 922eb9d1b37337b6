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
 *   filters_sem     write: attach, detach, (un)register; read: ctl
 *   attached_lock   the list of attached filters; never sleeps, so that
 *                   remove_dev() can take it
 * filters_sem is never taken in remove_dev(): whoever holds filters_sem may
 * wait for the device that is being removed. The slow half of a removal runs
 * from a work item.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/device.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "blkfilter_hook.h"
#include "compat.h"

static DECLARE_RWSEM(filters_sem);
static LIST_HEAD(operations); /* blkfilter_operations.link; filters_sem */

static DEFINE_SPINLOCK(attached_lock);
static LIST_HEAD(attached_filters); /* blkfilter.attached */
static LIST_HEAD(gone_filters);	    /* the same, once their device is gone */
static LIST_HEAD(lost_filters);	    /* or perhaps is, see settle_lost_filters() */

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

/* Under attached_lock. */
static struct blkfilter *find_attached_locked(struct block_device *bdev)
{
	struct blkfilter *flt;

	list_for_each_entry(flt, &attached_filters, attached)
		if (flt->bdev == bdev)
			return flt;
	return NULL;
}

/* Under filters_sem, so that the filter stays; NULL if none is attached. */
static struct blkfilter *find_attached(struct block_device *bdev)
{
	struct blkfilter *flt;

	spin_lock(&attached_lock);
	flt = find_attached_locked(bdev);
	spin_unlock(&attached_lock);
	return flt;
}

/* Whoever takes a filter off the list releases it: a detach or a removal. */
static bool delist(struct blkfilter *flt)
{
	bool listed;

	spin_lock(&attached_lock);
	listed = find_attached_locked(flt->bdev) == flt;
	if (listed)
		list_del(&flt->attached);
	spin_unlock(&attached_lock);
	return listed;
}

static bool disk_is_dead(struct block_device *bdev)
{
	return test_bit(GD_DEAD, &bdev->bd_disk->state);
}

/* Is it in its disk's table still? It leaves that before its removal is told. */
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

/* The device's memory, not the device: it may still be removed. */
static void pin_bdev(struct block_device *bdev)
{
	get_device(&bdev->bd_device);
	get_device(disk_to_dev(bdev->bd_disk));
}

static void unpin_bdev(struct block_device *bdev)
{
	struct device *disk = disk_to_dev(bdev->bd_disk);

	put_device(&bdev->bd_device);
	put_device(disk);
}

/* The filter is on no list of ours any more. Under filters_sem for writing. */
static void release_filter(struct blkfilter *flt)
{
	const struct blkfilter_operations *ops = flt->ops;
	struct block_device *bdev = flt->bdev;

	hook_unpublish(flt);
	hook_remove(flt);
	ops->detach(flt);
	unpin_bdev(bdev);
	module_put(ops->owner);
}

static int attach_filter(struct block_device *bdev, const char *name,
			 const void __user *opt, u32 optlen)
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
	pin_bdev(bdev);
	ret = hook_add(flt);
	if (ret)
		goto err_detach;

	spin_lock(&attached_lock);
	list_add_tail(&flt->attached, &attached_filters);
	spin_unlock(&attached_lock);
	pr_info("%pg: filter %s attached\n", bdev, name);
	/* A removal that came before the list knew us has not told us. */
	if ((disk_is_dead(bdev) || !is_present(bdev)) && delist(flt)) {
		release_filter(flt);
		return -ENODEV;
	}
	return 0;

err_detach:
	ops->detach(flt);
	unpin_bdev(bdev);
err_module:
	module_put(ops->owner);
	return ret;
}

static int detach_filter(struct block_device *bdev, const char *name)
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
	release_filter(flt);
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

/* ---- partitions that are made anew ---- */

/*
 * Reading a partition table again removes all partitions and makes them anew,
 * as other block devices of the same sectors. The filter goes on meanwhile: it
 * is shown writes by their sectors on the disk, and misses none.
 */

/* The partition that has these sectors now, pinned, or NULL. Under open_mutex. */
static struct block_device *find_successor(struct block_device *old)
{
	struct block_device *part;
	unsigned long idx;

	xa_for_each_start(&old->bd_disk->part_tbl, idx, part, 1) {
		if (blkfilter_same_sectors(part, old)) {
			pin_bdev(part);
			return part;
		}
	}
	return NULL;
}

/* It takes the caller's reference over. Under filters_sem for writing. */
static void move_filter(struct blkfilter *flt, struct block_device *bdev)
{
	struct block_device *old = flt->bdev;

	if (flt->ops->moved)
		flt->ops->moved(flt, bdev);
	else
		WRITE_ONCE(flt->bdev, bdev);
	/* Who is shown bios looks at the old one's sectors. */
	blkfilter_drain(flt);
	unpin_bdev(old);
	spin_lock(&attached_lock);
	list_move_tail(&flt->attached, &attached_filters);
	spin_unlock(&attached_lock);
	pr_info("%pg: partition table read anew, filter %s stays\n", bdev,
		flt->ops->name);
}

/* Its partition is gone for good. Under filters_sem for writing. */
static void drop_lost_filter(struct blkfilter *flt)
{
	spin_lock(&attached_lock);
	list_del(&flt->attached);
	spin_unlock(&attached_lock);
	if (flt->ops->gone)
		hook_call_gone(flt);
	pr_info("%pg: partition removed, filter %s detached\n", flt->bdev,
		flt->ops->name);
	release_filter(flt);
}

static void settle_lost_filters(struct work_struct *work);
static DECLARE_DELAYED_WORK(lost_work, settle_lost_filters);

/* The one behind @flt, or the first. Nobody but the work item takes any away. */
static struct blkfilter *next_lost_filter(struct blkfilter *flt)
{
	struct list_head *next;

	spin_lock(&attached_lock);
	next = flt ? flt->attached.next : lost_filters.next;
	spin_unlock(&attached_lock);
	return next == &lost_filters ?
		       NULL : list_entry(next, struct blkfilter, attached);
}

static bool settle_lost_filter(struct blkfilter *flt)
{
	struct mutex *open_mutex = &flt->bdev->bd_disk->open_mutex;
	struct block_device *bdev;
	bool settled = true;

	/*
	 * Reading a table holds it from the first removal to the last addition.
	 * One disk that hangs there shall not keep the others waiting.
	 */
	if (!mutex_trylock(open_mutex))
		return false;
	bdev = find_successor(flt->bdev);
	mutex_unlock(open_mutex);

	down_write(&filters_sem);
	if (!bdev) {
		drop_lost_filter(flt);
	} else {
		move_filter(flt, bdev);
		/* A removal before the list knew it has not told us. */
		if (!is_present(bdev) && delist(flt)) {
			spin_lock(&attached_lock);
			list_add_tail(&flt->attached, &lost_filters);
			spin_unlock(&attached_lock);
			settled = false;
		}
	}
	up_write(&filters_sem);
	return settled;
}

static void settle_lost_filters(struct work_struct *work)
{
	struct blkfilter *flt, *next;
	bool settled = true;

	for (flt = next_lost_filter(NULL); flt; flt = next) {
		next = next_lost_filter(flt);
		settled &= settle_lost_filter(flt);
	}
	if (!settled)
		queue_delayed_work(system_long_wq, &lost_work, HZ / 50);
}

static bool has_lost_filters(struct gendisk *disk)
{
	struct blkfilter *flt;
	bool found = false;

	spin_lock(&attached_lock);
	list_for_each_entry(flt, &lost_filters, attached)
		found |= flt->bdev->bd_disk == disk;
	spin_unlock(&attached_lock);
	return found;
}

/* Until the disk's partitions are known again. EINTR. */
static int wait_for_lost_filters(struct gendisk *disk)
{
	while (has_lost_filters(disk)) {
		if (mutex_lock_killable(&disk->open_mutex))
			return -EINTR;
		mutex_unlock(&disk->open_mutex);
		flush_delayed_work(&lost_work);
	}
	return 0;
}

/* ---- devices that go away ---- */

static void release_gone_filters(struct work_struct *work)
{
	struct blkfilter *flt;

	down_write(&filters_sem);
	for (;;) {
		spin_lock(&attached_lock);
		flt = list_first_entry_or_null(&gone_filters, struct blkfilter,
					       attached);
		if (flt)
			list_del(&flt->attached);
		spin_unlock(&attached_lock);
		if (!flt)
			break;
		release_filter(flt);
	}
	up_write(&filters_sem);
}
static DECLARE_WORK(gone_work, release_gone_filters);

static DEFINE_MUTEX(class_mutex);
static bool class_leaving; /* class_interface_unregister() removes everything */

/*
 * The device is being deleted, its queue draining: no I/O to it, and no wait
 * for it. Called with the class lock held, for every device of the class.
 */
static COMPAT_REMOVE_DEV(bdev_removed, dev)
{
	struct block_device *bdev = dev_to_bdev(dev);
	struct blkfilter *flt;

	if (class_leaving)
		return;
	spin_lock(&attached_lock);
	flt = find_attached_locked(bdev);
	if (flt && bdev_is_partition(bdev) && !disk_is_dead(bdev)) {
		list_move_tail(&flt->attached, &lost_filters);
		queue_delayed_work(system_long_wq, &lost_work, 0);
	} else if (flt) {
		list_move_tail(&flt->attached, &gone_filters);
		/* In this order: no write shall pass while it thinks all is well. */
		if (flt->ops->gone)
			hook_call_gone(flt);
		hook_unpublish(flt);
		pr_info("%pg: device removed, filter %s detached\n", bdev,
			flt->ops->name);
		queue_work(system_long_wq, &gone_work);
	}
	spin_unlock(&attached_lock);
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
	struct blkfilter_attach arg;
	int ret;

	if (copy_from_user(&arg, argp, sizeof(arg)))
		return -EFAULT;
	if (!name_is_terminated(arg.name))
		return -EINVAL;
	ret = watch_removals(bdev);
	if (ret)
		return ret;
	down_write(&filters_sem);
	ret = attach_filter(bdev, arg.name, u64_to_user_ptr(arg.opt),
			    arg.optlen);
	up_write(&filters_sem);
	return ret;
}

static long ioctl_detach(struct block_device *bdev, void __user *argp)
{
	struct blkfilter_detach arg;
	int ret;

	if (copy_from_user(&arg, argp, sizeof(arg)))
		return -EFAULT;
	if (!name_is_terminated(arg.name))
		return -EINVAL;
	down_write(&filters_sem);
	ret = detach_filter(bdev, arg.name);
	up_write(&filters_sem);
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

long blkfilter_ioctl(struct block_device *bdev, unsigned int cmd,
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
	int ret = disks_init();

	if (ret)
		return ret;
	ret = hook_init();
	if (ret)
		disks_exit();
	return ret;
}

/* Filter modules are gone (they use our symbols), and so nothing is attached. */
static void __exit blkfilter_exit(void)
{
	disks_exit();
	hook_exit();
	unwatch_removals();
}

module_init(blkfilter_init);
module_exit(blkfilter_exit);

MODULE_DESCRIPTION("Block device filters on stock kernels");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
