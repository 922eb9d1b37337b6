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

/* Returns the child, referenced, or NULL. Puts @parent, unless it is NULL. */
static struct kernfs_node *step_down(struct kernfs_node *parent,
				     const char *name)
{
	struct kernfs_node *child =
		parent ? kernfs_find_and_get(parent, name) : NULL;

	kernfs_put(parent);
	return child;
}

bool stack_in_sysfs(const char *path)
{
	struct kernfs_node *at = compat_kernfs_parent(kernel_kobj->sd);
	char *copy = kstrdup(path, GFP_KERNEL);
	char *rest = copy, *name;

	if (!copy)
		return false;
	kernfs_get(at);
	while ((name = strsep(&rest, "/")))
		if (*name)
			at = step_down(at, name);
	kernfs_put(at);
	kfree(copy);
	return at;
}

/*
 * Walks names from the root of sysfs: bd_holder_dir is freed without a lock
 * while its device is being removed.
 */
static bool is_held_by(struct block_device *bdev, struct gendisk *upper)
{
	char *device = kobject_get_path(&bdev->bd_device.kobj, GFP_KERNEL);
	char *link = device ? kasprintf(GFP_KERNEL, "%s/holders/%s", device,
					kobject_name(&disk_to_dev(upper)->kobj))
			    : NULL;
	bool held = link && stack_in_sysfs(link);

	kfree(link);
	kfree(device);
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

/* ---- disks above ---- */

struct above {
	struct block_device *lower;
	void (*visit)(struct gendisk *upper, void *data);
	void *data;
};

static bool visit_above(struct block_device *bdev, void *data)
{
	struct above *above = data;

	if (!bdev_is_partition(bdev) && is_held_by(above->lower, bdev->bd_disk))
		above->visit(bdev->bd_disk, above->data);
	return false;
}

void stack_visit_above(struct block_device *bdev,
		       void (*visit)(struct gendisk *upper, void *data),
		       void *data)
{
	struct above above = {.lower = bdev, .visit = visit, .data = data};

	any_device(bdev, visit_above, &above);
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
