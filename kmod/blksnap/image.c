// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/idr.h>
#include <linux/mempool.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "diff_area.h"
#include "image.h"
#include "origin_hold.h"

#define IO_RESERVE 16

/*
 * Programs that look for parts of a volume group or an array go by the name of
 * the major number: LVM passes over devices of kinds that it does not know.
 */
#define MAJOR_NAME "blksnap"

static int image_major;
static DEFINE_IDA(image_minors);

/* Freed with its disk, when the last one closes it, or if never shown. */
struct image {
	struct gendisk *disk;
	struct diff_area *area; /* until image_destroy() */
	struct origin_hold *origin;
	unsigned int openers; /* under the disk's open_mutex */
	bool read_only;
	bool shown;
	atomic_t ios;
	wait_queue_head_t
		idle; /* count_down under its lock, as in diff_area.c */
};

/* What an image is asked waits for I/O, and so needs a worker. */
struct image_io {
	struct work_struct work;
	struct image *image;
	struct bio *bio;
	unsigned long start; /* jiffies, for the disk's statistics */
};

static struct kmem_cache *io_cache;
static mempool_t io_pool;
static struct workqueue_struct *io_queue;

static void image_io_work(struct work_struct *work)
{
	struct image_io *io = container_of(work, struct image_io, work);
	struct image *image = io->image;

	io->bio->bi_status = op_is_write(bio_op(io->bio))
				     ? diff_area_write(image->area, io->bio)
				     : diff_area_read(image->area, io->bio);
	bio_end_io_acct(io->bio, io->start);
	bio_endio(io->bio);
	mempool_free(io, &io_pool);

	spin_lock_irq(&image->idle.lock);
	if (atomic_dec_and_test(&image->ios))
		wake_up_all_locked(&image->idle);
	spin_unlock_irq(&image->idle.lock);
}

static void image_submit_bio(struct bio *bio)
{
	struct image *image = bio->bi_bdev->bd_disk->private_data;
	struct image_io *io;

	/* The disk offers no other. Some kernels only warn of a read-only disk.
	 */
	if (bio_op(bio) != REQ_OP_READ &&
	    (bio_op(bio) != REQ_OP_WRITE || image->read_only)) {
		bio->bi_status = BLK_STS_NOTSUPP;
		bio_endio(bio);
		return;
	}
	io = mempool_alloc(&io_pool,
			   bio->bi_opf & REQ_NOWAIT ? GFP_NOWAIT : GFP_NOIO);
	if (!io) {
		bio_wouldblock_error(bio);
		return;
	}
	INIT_WORK(&io->work, image_io_work);
	io->image = image;
	io->bio = bio;
	io->start = bio_start_io_acct(bio);
	atomic_inc(&image->ios);
	queue_work(io_queue, &io->work);
}

static int open_origin(struct image *image)
{
	int ret = origin_hold_open(image->origin);

	/* A dead image can be opened, and does not read its origin. */
	if (!ret || READ_ONCE(image->area->error))
		return 0;
	pr_err_ratelimited(
		"%s: cannot open the device %pg, which the image reads: %pe\n",
		image_name(image), image->area->bdev, ERR_PTR(ret));
	return ret;
}

/* Both run under the disk's open_mutex; this one not after image_destroy(). */
static COMPAT_OPEN(image_open, opened, mode)
{
	struct image *image = compat_opened_disk(opened)->private_data;
	int ret = 0;

	if (image->read_only && mode & COMPAT_MODE_WRITE)
		return -EROFS;
	/* No file system, volume group or array may take it for the origin. */
	if (image->read_only && mode & COMPAT_MODE_EXCLUSIVE)
		return -EBUSY;
	if (!image->openers)
		ret = open_origin(image);
	if (!ret)
		image->openers++;
	return ret;
}

static COMPAT_RELEASE(image_release, disk)
{
	struct image *image = disk->private_data;

	if (!--image->openers)
		origin_hold_close(image->origin);
}

static void free_image(struct image *image)
{
	origin_hold_put(image->origin);
	kfree(image);
}

static void image_free_disk(struct gendisk *disk)
{
	ida_free(&image_minors, disk->first_minor);
	free_image(disk->private_data);
}

static const struct block_device_operations image_operations = {
	.owner = THIS_MODULE,
	.open = image_open,
	.release = image_release,
	.submit_bio = image_submit_bio,
	.free_disk = image_free_disk,
};

struct image *image_create(struct diff_area *area, bool read_only)
{
	struct image *image = kzalloc(sizeof(*image), GFP_KERNEL);
	struct gendisk *disk;
	int minor;

	if (!image)
		return ERR_PTR(-ENOMEM);
	image->origin = origin_hold_alloc(area->disk->bd_dev);
	if (!image->origin) {
		kfree(image);
		return ERR_PTR(-ENOMEM);
	}
	disk = compat_alloc_disk(area->bdev);
	if (IS_ERR(disk)) {
		free_image(image);
		return ERR_CAST(disk);
	}
	minor = ida_alloc_max(&image_minors, MINORMASK, GFP_KERNEL);
	if (minor < 0) {
		put_disk(disk);
		free_image(image);
		return ERR_PTR(minor);
	}
	image->disk = disk;
	image->area = area;
	image->read_only = read_only;
	init_waitqueue_head(&image->idle);
	disk->private_data = image;
	disk->fops = &image_operations;
	disk->flags |= GENHD_FL_NO_PART;
	disk->major = image_major;
	disk->first_minor = minor;
	disk->minors = 1;
	set_disk_ro(disk, read_only);
	snprintf(disk->disk_name, DISK_NAME_LEN, "blksnap-%u-%u",
		 MAJOR(area->bdev->bd_dev), MINOR(area->bdev->bd_dev));
	set_capacity(disk, area->capacity >> SECTOR_SHIFT);
	return image;
}

int image_show(struct image *image)
{
	int ret = device_add_disk(NULL, image->disk, NULL);

	if (!ret)
		image->shown = true;
	/* So says device_add() of a name that there was no memory for. */
	return ret == -EINVAL ? -ENOMEM : ret;
}

const char *image_name(const struct image *image)
{
	return image->disk->disk_name;
}

void image_destroy(struct image *image)
{
	struct gendisk *disk = image->disk;
	bool shown = image->shown;

	/* Opening and closing it wait for the origin, under the open_mutex. */
	origin_hold_cancel(image->origin);
	/* Afterwards no new I/O comes in, whoever has it open. */
	if (shown)
		del_gendisk(disk);
	wait_event(image->idle, !atomic_read(&image->ios));
	spin_lock_irq(&image->idle.lock);
	spin_unlock_irq(&image->idle.lock);
	/* A disk that was never added does not call free_disk. */
	if (!shown)
		ida_free(&image_minors, disk->first_minor);
	put_disk(disk);
	if (!shown)
		free_image(image);
}

int image_module_init(void)
{
	int ret = -ENOMEM;

	io_cache = KMEM_CACHE(image_io, 0);
	if (!io_cache)
		return ret;
	ret = mempool_init_slab_pool(&io_pool, IO_RESERVE, io_cache);
	if (ret)
		goto err_cache;
	ret = -ENOMEM;
	io_queue = alloc_workqueue("blksnap_image", WQ_MEM_RECLAIM | WQ_UNBOUND,
				   0);
	if (!io_queue)
		goto err_pool;
	ret = register_blkdev(0, MAJOR_NAME);
	if (ret > 0) {
		image_major = ret;
		return 0;
	}
	destroy_workqueue(io_queue);
err_pool:
	mempool_exit(&io_pool);
err_cache:
	kmem_cache_destroy(io_cache);
	return ret;
}

void image_module_exit(void)
{
	unregister_blkdev(image_major, MAJOR_NAME);
	destroy_workqueue(io_queue);
	mempool_exit(&io_pool);
	kmem_cache_destroy(io_cache);
}
