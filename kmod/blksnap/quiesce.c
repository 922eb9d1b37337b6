// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "blkfilter.h"
#include "compat.h"
#include "quiesce.h"
#include "stack.h"

/* ---- who holds a device ---- */

static bool has_held_partition(struct gendisk *disk)
{
	struct block_device *part;
	unsigned long idx;
	bool held = false;

	rcu_read_lock();
	xa_for_each_start(&disk->part_tbl, idx, part, 1)
		if (READ_ONCE(part->bd_holder))
			held = true;
	rcu_read_unlock();
	return held;
}

/*
 * The block layer sets a holder of the whole disk, too, while a partition is
 * held (bd_finish_claiming() in bdev.c).
 */
static bool is_held(struct block_device *bdev)
{
	return READ_ONCE(bdev->bd_holder) &&
	       (bdev_is_partition(bdev) || !has_held_partition(bdev->bd_disk));
}

/* Its content is of no use after a restart. */
static bool is_swap(struct block_device *bdev)
{
	return IS_SWAPFILE(compat_bdev_inode(bdev));
}

/* ---- finding: block devices ---- */

static int add_bdev(struct list_head *targets, struct block_device *bdev,
		    unsigned int height);

/* Returns the next partition from *idx on, referenced, or NULL. */
static struct block_device *next_part(struct gendisk *disk, unsigned long *idx)
{
	struct block_device *part;

	rcu_read_lock();
	while ((part = xa_find(&disk->part_tbl, idx, ULONG_MAX, XA_PRESENT)) &&
	       !kobject_get_unless_zero(&part->bd_device.kobj))
		(*idx)++;
	rcu_read_unlock();
	return part;
}

static struct quiesce_target *find_bdev(const struct list_head *targets,
					struct block_device *bdev)
{
	struct quiesce_target *target;

	list_for_each_entry(target, targets, link)
		if (target->bdev == bdev && !target->sb)
			return target;
	return NULL;
}

struct above {
	struct list_head *targets;
	struct quiesce_target *lower;
	int error;
};

static void add_disk_above(struct gendisk *disk, void *data)
{
	struct above *above = data;
	struct block_device *part;
	unsigned long idx = 0;

	above->lower->carries = true;
	while (!above->error && (part = next_part(disk, &idx))) {
		idx++;
		above->error = add_bdev(above->targets, part,
					above->lower->height + 1);
		put_device(&part->bd_device);
	}
}

static int add_above(struct list_head *targets, struct quiesce_target *target)
{
	struct above above = {.targets = targets, .lower = target};

	if (target->height < STACK_MAX && is_held(target->bdev))
		stack_visit_above(target->bdev, add_disk_above, &above);
	return above.error;
}

static struct quiesce_target *new_target(struct list_head *targets,
					 struct block_device *bdev,
					 unsigned int height)
{
	struct quiesce_target *target = kzalloc(sizeof(*target), GFP_KERNEL);

	if (!target)
		return NULL;
	get_device(&bdev->bd_device);
	target->bdev = bdev;
	target->height = height;
	target->how = BLKSNAP_QUIESCED_UNKNOWN;
	list_add_tail(&target->link, targets);
	return target;
}

static void free_target(struct quiesce_target *target)
{
	if (target->sb)
		deactivate_super(target->sb);
	put_device(&target->bdev->bd_device);
	module_put(target->driver);
	list_del(&target->link);
	kfree(target);
}

/* A device that is found twice keeps the larger height. */
static int add_bdev(struct list_head *targets, struct block_device *bdev,
		    unsigned int height)
{
	struct quiesce_target *target = find_bdev(targets, bdev);
	struct module *driver = height ? bdev->bd_disk->fops->owner : NULL;

	if (target) {
		if (target->height >= height)
			return 0;
		target->height = height;
		return add_above(targets, target);
	}
	/* No file system uses a device whose driver is being unloaded. */
	if (!try_module_get(driver))
		return 0;
	target = new_target(targets, bdev, height);
	if (!target) {
		module_put(driver);
		return -ENOMEM;
	}
	target->driver = driver;
	return add_above(targets, target);
}

/*
 * Compares sectors: re-reading a table makes new devices of partitions. A disk
 * above may use the whole disk, and with it this partition.
 */
static bool touches(struct block_device *part, struct block_device *bdev)
{
	return !bdev_is_partition(bdev) || blkfilter_same_sectors(part, bdev) ||
	       (!bdev_is_partition(part) && is_held(part));
}

static int add_own(struct list_head *targets, struct block_device *bdev)
{
	struct block_device *part;
	unsigned long idx = 0;
	bool found = false;
	int ret = 0;

	while (!ret && (part = next_part(bdev->bd_disk, &idx))) {
		idx++;
		if (touches(part, bdev))
			ret = add_bdev(targets, part, 0);
		if (blkfilter_same_sectors(part, bdev))
			found = true;
		put_device(&part->bd_device);
	}
	if (ret || found)
		return ret;
	pr_err("%pg: the partition is not there; no snapshot\n", bdev);
	return -ENODEV;
}

/* ---- finding: btrfs, which has no block device of its own ---- */

static bool is_device_of(const struct super_block *sb,
			 struct block_device *bdev)
{
	char *path =
		kasprintf(GFP_KERNEL, "fs/btrfs/%pU/devices/%s", &sb->s_uuid,
			  kobject_name(&bdev->bd_device.kobj));
	bool is = path && stack_in_sysfs(path);

	kfree(path);
	return is;
}

/* Called once for each file system, under sb->s_umount. */
static void add_btrfs(struct super_block *sb, void *data)
{
	struct list_head *targets = data;
	struct quiesce_target *target, *of_devices, *lower = NULL;

	list_for_each_entry(target, targets, link) {
		if (target->sb || !is_held(target->bdev) ||
		    !is_device_of(sb, target->bdev))
			continue;
		if (!lower || lower->height < target->height)
			lower = target;
	}
	if (!lower)
		return;
	/* Without memory, the device stays one of unknown use. */
	of_devices = new_target(targets, lower->bdev, lower->height + 1);
	if (!of_devices)
		return;
	if (!atomic_inc_not_zero(&sb->s_active)) {
		free_target(of_devices);
		return;
	}
	of_devices->sb = sb;
	list_for_each_entry(target, targets, link)
		if (!target->sb && is_device_of(sb, target->bdev))
			target->carries = true;
}

static void find_btrfs(struct list_head *targets)
{
	struct file_system_type *type, *of_supers = NULL;
	struct quiesce_target *target;

	/* Without this, get_fs_type() would load it. */
	if (!stack_in_sysfs("fs/btrfs"))
		return;
	type = get_fs_type("btrfs");
	if (!type)
		return;
	list_for_each_entry(target, targets, link) {
		if (target->carries || !is_held(target->bdev))
			continue;
		of_supers = compat_btrfs_type(type, target->bdev);
		if (of_supers)
			break;
	}
	if (of_supers)
		iterate_supers_type(of_supers, add_btrfs, targets);
	module_put(type->owner);
}

int quiesce_find(struct block_device *bdev, struct list_head *targets)
{
	int ret = add_own(targets, bdev);

	if (!ret)
		find_btrfs(targets);
	return ret;
}

void quiesce_forget(struct list_head *targets)
{
	struct quiesce_target *target, *next;

	list_for_each_entry_safe(target, next, targets, link)
		free_target(target);
}

/* ---- at rest, and going on ---- */

void quiesce_sync(struct quiesce_target *target)
{
	struct super_block *sb = target->sb;

	if (!sb) {
		compat_bdev_sync(target->bdev);
		return;
	}
	down_read(&sb->s_umount);
	sync_filesystem(sb);
	up_read(&sb->s_umount);
}

static u32 frozen_state(const struct quiesce_target *target)
{
	struct block_device *bdev = target->bdev;

	if (target->sb || compat_bdev_has_fs(bdev))
		return BLKSNAP_QUIESCED_FROZEN;
	if (is_held(bdev) && !target->carries && !is_swap(bdev))
		return BLKSNAP_QUIESCED_UNKNOWN;
	return BLKSNAP_QUIESCED_NOTHING;
}

bool quiesce_freeze(struct quiesce_target *target)
{
	int ret = target->sb ? compat_super_freeze(target->sb)
			     : compat_bdev_freeze(target->bdev);

	if (!ret) {
		target->how = frozen_state(target);
		return true;
	}
	if (ret == COMPAT_ALREADY_FROZEN) {
		/* Another process has frozen it, and will thaw it. */
		sync_blockdev(target->bdev);
		target->how = BLKSNAP_QUIESCED_FROZEN;
		return false;
	}
	pr_warn("%pg: cannot freeze the file system, it is only written back: %pe\n",
		target->bdev, ERR_PTR(ret));
	quiesce_sync(target);
	target->how = BLKSNAP_QUIESCED_SYNCED;
	return false;
}

void quiesce_thaw(struct quiesce_target *target)
{
	int ret = target->sb ? compat_super_thaw(target->sb)
			     : compat_bdev_thaw(target->bdev);

	if (ret)
		pr_err("%pg: cannot thaw the file system: %pe\n", target->bdev,
		       ERR_PTR(ret));
}

u32 quiesce_worst(const struct list_head *targets)
{
	const struct quiesce_target *target;
	u32 worst = BLKSNAP_QUIESCED_NOTHING;

	list_for_each_entry(target, targets, link)
		worst = min(worst, target->how);
	return worst;
}
