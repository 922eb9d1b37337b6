/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The differences between the kernels we build for, and the only place with
 * version conditions. Names on the left are ours (compat_*); the newest
 * kernel's meaning is the model.
 */
#ifndef _COMPAT_H
#define _COMPAT_H

#include <linux/blkdev.h>
#include <linux/fs.h>
#include <linux/ftrace.h>
#include <linux/kernfs.h>
#include <linux/module.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "kernels before 6.1 are not supported"
#endif

/* Helpers on ftrace_regs arrived in 6.2. Before, ftrace_get_regs() is NULL
 * without SAVE_REGS, but the registers are there.
 */
static __always_inline unsigned long
compat_ftrace_arg(struct ftrace_regs *fregs, unsigned int n)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	switch (n) {
	case 0:
		return fregs->regs.di;
	case 1:
		return fregs->regs.si;
	default:
		return fregs->regs.dx;
	}
#else
	return ftrace_regs_get_argument(fregs, n);
#endif
}

static __always_inline void compat_ftrace_set_ip(struct ftrace_regs *fregs,
						 unsigned long ip)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	ftrace_instruction_pointer_set(fregs, ip);
#else
	ftrace_regs_set_instruction_pointer(fregs, ip);
#endif
}

/* The inode that block_device and gendisk share their memory with. */
static inline struct inode *compat_bdev_inode(struct block_device *bdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
	return bdev->bd_inode;
#else
	return bdev->bd_mapping->host;
#endif
}

/*
 * Before 6.3, pages are written to some disks (brd, zram) past
 * submit_bio_noacct(), where bdev_write_page() does not say EOPNOTSUPP.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define COMPAT_BDEV_WRITE_PAGE "bdev_write_page"
#endif

/*
 * Before 6.5, submit_bio_noacct() makes what is submitted with such a plug
 * REQ_NOWAIT: the writer's bio, and any of ours in the writer's context.
 */
static inline bool compat_plug_is_nowait(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	return current->plug && current->plug->nowait;
#else
	return false;
#endif
}

/*
 * Has the file system on the device written back, or what is cached of the
 * device. May sleep.
 */
static inline void compat_bdev_sync(struct block_device *bdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
	fsync_bdev(bdev);
#else
	mutex_lock(&bdev->bd_holder_lock);
	if (bdev->bd_holder_ops && bdev->bd_holder_ops->sync) {
		bdev->bd_holder_ops->sync(bdev); /* and unlocks */
	} else {
		mutex_unlock(&bdev->bd_holder_lock);
		sync_blockdev(bdev);
	}
#endif
}

/*
 * Freezes the file system on the device, if there is one. May sleep. Where
 * somebody (fsfreeze, say) has frozen it already, newer kernels count that;
 * before 6.8 it is EBUSY, also while somebody is still at it: so try for a
 * while, and then say COMPAT_ALREADY_FROZEN.
 */
#define COMPAT_ALREADY_FROZEN 1
static inline int compat_bdev_freeze(struct block_device *bdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	unsigned int tries = 0;
	int ret;

	while ((ret = freeze_bdev(bdev)) == -EBUSY) {
		if (tries++ == 5)
			return COMPAT_ALREADY_FROZEN;
		schedule_timeout_uninterruptible(HZ / 10);
	}
	return ret;
#else
	return bdev_freeze(bdev);
#endif
}

static inline int compat_bdev_thaw(struct block_device *bdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	return thaw_bdev(bdev);
#else
	return bdev_thaw(bdev);
#endif
}

/* Returns true if compat_bdev_freeze() has frozen a file system there. */
static inline bool compat_bdev_has_fs(struct block_device *bdev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	return READ_ONCE(bdev->bd_fsfreeze_sb);
#else
	const struct blk_holder_ops *ops = READ_ONCE(bdev->bd_holder_ops);

	return ops && ops->freeze;
#endif
}

/*
 * Freezes a file system, for which the caller has an active reference. Before
 * 6.6 whoever comes second gets EBUSY, as above; later only if the first one
 * was in the kernel too.
 */
static inline int compat_super_freeze(struct super_block *sb)
{
	unsigned int tries = 0;
	int ret;

	do {
		if (tries)
			schedule_timeout_uninterruptible(HZ / 10);
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
		ret = freeze_super(sb);
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
		ret = freeze_super(sb, FREEZE_HOLDER_KERNEL);
#else
		ret = freeze_super(sb, FREEZE_HOLDER_KERNEL, NULL);
#endif
	} while (ret == -EBUSY && tries++ < 5);
	return ret == -EBUSY ? COMPAT_ALREADY_FROZEN : ret;
}

static inline int compat_super_thaw(struct super_block *sb)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 6, 0)
	return thaw_super(sb);
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 16, 0)
	return thaw_super(sb, FREEZE_HOLDER_KERNEL);
#else
	return thaw_super(sb, FREEZE_HOLDER_KERNEL, NULL);
#endif
}

/*
 * Returns the type that superblocks of btrfs have, or NULL. Before 6.8 it is
 * not registered, but the file system's devices have it as their holder: an
 * object of the module, and with the same name as the registered type.
 */
static inline struct file_system_type *
compat_btrfs_type(struct file_system_type *registered,
		  struct block_device *device)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	struct file_system_type *type = READ_ONCE(device->bd_holder);
	struct module *owner = registered->owner;

	return owner && within_module((unsigned long)type, owner) &&
			       within_module((unsigned long)(type + 1) - 1,
					     owner) &&
			       type->name == registered->name
		       ? type
		       : NULL;
#else
	return registered;
#endif
}

/* Is it slow to seek? Of disks whose limits have no features, before 6.11: no.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
#define COMPAT_FEATURES_OF(like) 0
#else
#define COMPAT_FEATURES_OF(like) (bdev_nonrot(like) ? 0 : BLK_FEAT_ROTATIONAL)
#endif

/*
 * A bio-based disk for what is read from @like, or an ERR_PTR: with its limits,
 * but for those that the block layer sees to when it splits what goes there. Of
 * NULL the limits are the usual ones.
 */
static inline struct gendisk *compat_alloc_disk(struct block_device *like)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	struct gendisk *disk = blk_alloc_disk(NUMA_NO_NODE);

	if (!disk)
		return ERR_PTR(-ENOMEM);
	if (!like)
		return disk;
	blk_queue_logical_block_size(disk->queue,
				     bdev_logical_block_size(like));
	blk_queue_physical_block_size(disk->queue,
				      bdev_physical_block_size(like));
	blk_queue_dma_alignment(disk->queue, bdev_dma_alignment(like));
	blk_queue_io_min(disk->queue, bdev_io_min(like));
	blk_queue_io_opt(disk->queue, bdev_io_opt(like));
	if (bdev_nonrot(like))
		blk_queue_flag_set(QUEUE_FLAG_NONROT, disk->queue);
	return disk;
#else
	struct queue_limits limits = {};

	if (like)
		limits = (struct queue_limits){
			.logical_block_size = bdev_logical_block_size(like),
			.physical_block_size = bdev_physical_block_size(like),
			.dma_alignment = bdev_dma_alignment(like),
			.io_min = bdev_io_min(like),
			.io_opt = bdev_io_opt(like),
			.features = COMPAT_FEATURES_OF(like),
		};

	return blk_alloc_disk(&limits, NUMA_NO_NODE);
#endif
}

/*
 * Opens a disk for reading. Returns what compat_close_disk() takes, or an
 * ERR_PTR. Both wait for the disk's driver.
 */
static inline void *compat_open_disk(dev_t dev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	return blkdev_get_by_dev(dev, FMODE_READ, NULL);
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	return blkdev_get_by_dev(dev, BLK_OPEN_READ, NULL, NULL);
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	return bdev_open_by_dev(dev, BLK_OPEN_READ, NULL, NULL);
#else
	return bdev_file_open_by_dev(dev, BLK_OPEN_READ, NULL, NULL);
#endif
}

/* The disk is closed when this returns. From workers only. */
static inline void compat_close_disk(void *opened)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	blkdev_put(opened, FMODE_READ);
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	blkdev_put(opened, NULL);
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	bdev_release(opened);
#else
	__fput_sync(opened);
#endif
}

/* vfs_iter_write() takes the file system's write access itself since 6.8. */
static inline ssize_t compat_vfs_iter_write(struct file *file,
					    struct iov_iter *iter, loff_t *pos)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	ssize_t ret;

	file_start_write(file);
	ret = vfs_iter_write(file, iter, pos, 0);
	file_end_write(file);
	return ret;
#else
	return vfs_iter_write(file, iter, pos, 0);
#endif
}

/* Not referenced: the caller knows that it stays. */
static inline struct kernfs_node *compat_kernfs_parent(struct kernfs_node *node)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0)
	return node->parent;
#else
	return rcu_dereference_protected(node->__parent, true);
#endif
}

/* The mode of block_device_operations.ioctl, for a reader. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define COMPAT_MODE_READ FMODE_READ
#else
#define COMPAT_MODE_READ BLK_OPEN_READ
#endif

/*
 * block_device_operations.open and release, which lost an argument in 6.5. A
 * mode is exclusive for O_EXCL, and for whoever in the kernel claims the disk.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define COMPAT_OPEN(name, opened, mode) \
	int name(struct block_device *opened, fmode_t mode)
#define COMPAT_MODE_WRITE FMODE_WRITE
#define COMPAT_MODE_EXCLUSIVE FMODE_EXCL
#define compat_opened_disk(opened) ((opened)->bd_disk)
#define COMPAT_RELEASE(name, disk) \
	void name(struct gendisk *disk, fmode_t unused)
#else
#define COMPAT_OPEN(name, opened, mode) \
	int name(struct gendisk *opened, blk_mode_t mode)
#define COMPAT_MODE_WRITE BLK_OPEN_WRITE
#define COMPAT_MODE_EXCLUSIVE BLK_OPEN_EXCL
#define compat_opened_disk(opened) (opened)
#define COMPAT_RELEASE(name, disk) void name(struct gendisk *disk)
#endif

/* class_interface.remove_dev lost its second argument in 6.4. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define COMPAT_REMOVE_DEV(name, dev) \
	void name(struct device *dev, struct class_interface *unused)
#else
#define COMPAT_REMOVE_DEV(name, dev) void name(struct device *dev)
#endif

#endif /* _COMPAT_H */
