// SPDX-License-Identifier: GPL-2.0
/*
 * The block layer has no function that tells which devices a device consists
 * of. bd_link_disk_holder() (device-mapper, md, bcache) puts a link named after
 * the upper disk into the folder "holders" of each lower device, which this
 * file looks up.
 */
#include <linux/device.h>
#include <linux/kernfs.h>
#include <linux/kdev_t.h>
#include <linux/kobject.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "stack.h"

/* Recursion stops here. */
#define STACK_MAX 8

/* Returns the child, referenced, or NULL. Puts @parent, unless it is NULL. */
static struct kernfs_node *step_down(struct kernfs_node *parent,
				     const char *name)
{
	struct kernfs_node *child =
		parent ? kernfs_find_and_get(parent, name) : NULL;

	kernfs_put(parent);
	return child;
}

/*
 * Walks names from the root of sysfs: bd_holder_dir is freed without a lock
 * while its device is being removed.
 */
static bool is_held_by(struct block_device *bdev, struct gendisk *upper)
{
	struct kernfs_node *at = compat_kernfs_parent(kernel_kobj->sd);
	char *path = kobject_get_path(&bdev->bd_device.kobj, GFP_KERNEL);
	char *rest = path, *name;
	bool held;

	if (!path)
		return false;
	kernfs_get(at);
	while ((name = strsep(&rest, "/")))
		if (*name)
			at = step_down(at, name);
	at = step_down(at, "holders");
	at = step_down(at, kobject_name(&disk_to_dev(upper)->kobj));
	held = at;
	kernfs_put(at);
	kfree(path);
	return held;
}

/* Calls @visit for each block device, until it returns true. */
static bool any_device(const struct block_device *any,
		       bool (*visit)(struct block_device *bdev, void *data),
		       void *data)
{
	struct class_dev_iter iter;
	struct device *dev;
	bool found = false;

	class_dev_iter_init(&iter, any->bd_device.class, NULL, NULL);
	while (!found && (dev = class_dev_iter_next(&iter)))
		found = visit(dev_to_bdev(dev), data);
	class_dev_iter_exit(&iter);
	return found;
}

/* ---- height ---- */

struct below {
	struct gendisk *upper;
	unsigned int depth;
	unsigned int height;
};

static unsigned int height_of(struct gendisk *disk, unsigned int depth);

static bool visit_below(struct block_device *bdev, void *data)
{
	struct below *below = data;

	if (is_held_by(bdev, below->upper))
		below->height =
			max(below->height,
			    1 + height_of(bdev->bd_disk, below->depth + 1));
	return false;
}

static unsigned int height_of(struct gendisk *disk, unsigned int depth)
{
	struct below below = {.upper = disk, .depth = depth};

	if (depth < STACK_MAX)
		any_device(disk->part0, visit_below, &below);
	return below.height;
}

unsigned int stack_height(struct block_device *bdev)
{
	/* Request-based disks are plain, except multipath maps. */
	return queue_is_mq(bdev_get_queue(bdev)) ? 0
						 : height_of(bdev->bd_disk, 0);
}

/* ---- multipath ---- */

struct held_disk {
	struct block_device *disk;
	char *map;
};

/* Multipath is the one request-based target (dm-mpath.c). */
static bool visit_multipath(struct block_device *bdev, void *data)
{
	struct held_disk *held = data;
	struct gendisk *upper = bdev->bd_disk;

	if (bdev_is_partition(bdev) || !queue_is_mq(upper->queue) ||
	    !strstarts(upper->disk_name, "dm-") ||
	    !is_held_by(held->disk, upper))
		return false;
	strscpy(held->map, upper->disk_name, DISK_NAME_LEN);
	return true;
}

bool stack_find_multipath(struct block_device *bdev, char *name)
{
	struct held_disk held = {.disk = bdev_whole(bdev), .map = name};

	return any_device(bdev, visit_multipath, &held);
}

/* ---- loop devices ---- */

struct place {
	struct block_device *lower;
	struct gendisk *upper;
	dev_t dev;
	unsigned int depth;
};

static bool share_sectors(struct block_device *a, struct block_device *b)
{
	return a == b || (a->bd_disk == b->bd_disk &&
			  (!bdev_is_partition(a) || !bdev_is_partition(b)));
}

static bool is_on(struct block_device *bdev, struct block_device *lower,
		  unsigned int depth);

static bool visit_part_of_upper(struct block_device *bdev, void *data)
{
	struct place *place = data;

	return is_held_by(bdev, place->upper) &&
	       is_on(bdev, place->lower, place->depth + 1);
}

static bool visit_device_of_file(struct block_device *bdev, void *data)
{
	struct place *place = data;

	return bdev->bd_dev == place->dev &&
	       is_on(bdev, place->lower, place->depth + 1);
}

/*
 * Returns st_dev of a loop device's file, or 0. LOOP_GET_STATUS64 writes to
 * user memory only, so this maps a page for it.
 */
static dev_t device_of_file(struct block_device *loop)
{
	const struct block_device_operations *fops = loop->bd_disk->fops;
	unsigned long page;
	struct loop_info64 *info;
	dev_t dev = 0;

	if (!fops->ioctl || !current->mm)
		return 0;
	info = kzalloc(sizeof(*info), GFP_KERNEL);
	if (!info)
		return 0;
	page = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, 0);
	if (!IS_ERR_VALUE(page)) {
		if (!fops->ioctl(loop, COMPAT_MODE_READ, LOOP_GET_STATUS64,
				 page) &&
		    !copy_from_user(info, (void __user *)page, sizeof(*info)))
			dev = huge_decode_dev(info->lo_device);
		vm_munmap(page, PAGE_SIZE);
	}
	kfree(info);
	return dev;
}

static bool is_on(struct block_device *bdev, struct block_device *lower,
		  unsigned int depth)
{
	struct place place = {
		.lower = lower,
		.upper = bdev->bd_disk,
		.depth = depth,
	};

	if (share_sectors(bdev, lower))
		return true;
	if (depth >= STACK_MAX)
		return false;
	if (MAJOR(bdev->bd_disk->part0->bd_dev) == LOOP_MAJOR) {
		place.dev = device_of_file(bdev);
		return place.dev &&
		       any_device(bdev, visit_device_of_file, &place);
	}
	return any_device(bdev, visit_part_of_upper, &place);
}

bool stack_loop_is_on(struct block_device *bdev, struct block_device *lower)
{
	return MAJOR(bdev->bd_disk->part0->bd_dev) == LOOP_MAJOR &&
	       bdev->bd_disk != lower->bd_disk && is_on(bdev, lower, 0);
}
