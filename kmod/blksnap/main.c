// SPDX-License-Identifier: GPL-2.0
/* blksnap.ko: /dev/blksnap-control, and the order of start. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "chunks.h"
#include "diff_job.h"
#include "diff_storage.h"
#include "image.h"
#include "origin_hold.h"
#include "snapshot.h"
#include "take.h"
#include "tracker_ctl.h"

static long control_version(void __user *argp)
{
	/* Of the interface: what tools written for upstream expect. */
	static const struct blksnap_version version = {.major = 2};

	return copy_to_user(argp, &version, sizeof(version)) ? -EFAULT : 0;
}

static long control_create(void __user *argp)
{
	struct blksnap_snapshot_create arg;
	int ret;

	if (copy_from_user(&arg, argp, sizeof(arg)))
		return -EFAULT;
	ret = snapshot_create(u64_to_user_ptr(arg.diff_storage_filename),
			      arg.diff_storage_limit_sect, &arg.id);
	if (ret)
		return ret;
	if (copy_to_user(argp, &arg, sizeof(arg))) {
		/* Nobody would know of it. */
		snapshot_destroy(&arg.id);
		return -EFAULT;
	}
	return 0;
}

static long control_by_id(void __user *argp,
			  int (*call)(const struct blksnap_uuid *id))
{
	struct blksnap_uuid id;

	if (copy_from_user(&id, argp, sizeof(id)))
		return -EFAULT;
	return call(&id);
}

static int take_writable(const struct blksnap_uuid *id)
{
	return snapshot_take(id, false);
}

static long control_take_flags(void __user *argp)
{
	struct blksnap_snapshot_take arg;

	if (copy_from_user(&arg, argp, sizeof(arg)))
		return -EFAULT;
	if (arg.flags & ~BLKSNAP_TAKE_READ_ONLY || arg.padding)
		return -EINVAL;
	return snapshot_take(&arg.id, arg.flags & BLKSNAP_TAKE_READ_ONLY);
}

static long control_collect(void __user *argp)
{
	struct blksnap_snapshot_collect arg;
	int ret;

	if (copy_from_user(&arg, argp, sizeof(arg)))
		return -EFAULT;
	ret = snapshot_collect(u64_to_user_ptr(arg.ids), arg.count, &arg.count);
	if (copy_to_user(argp, &arg, sizeof(arg)))
		return -EFAULT;
	return ret;
}

static long control_wait_event(void __user *argp)
{
	struct blksnap_snapshot_event *arg;
	int ret;

	/* A page: too much for the stack. */
	arg = memdup_user(argp, sizeof(*arg));
	if (IS_ERR(arg))
		return PTR_ERR(arg);
	ret = snapshot_wait_event(arg);
	if (!ret && copy_to_user(argp, arg, sizeof(*arg)))
		ret = -EFAULT;
	kfree(arg);
	return ret;
}

static long control_features(void __user *argp)
{
	struct blksnap_features arg = {
		.features =
			BLKSNAP_FEATURE_IMAGE_WRITE |
			BLKSNAP_FEATURE_STORAGE_ON_ORIGIN |
			BLKSNAP_FEATURE_STATISTICS | BLKSNAP_FEATURE_DISCARDS |
			BLKSNAP_FEATURE_INSTANTS | BLKSNAP_FEATURE_QUIESCED |
			BLKSNAP_FEATURE_TAKE_FLAGS,
	};

	return copy_to_user(argp, &arg, sizeof(arg)) ? -EFAULT : 0;
}

static long control_statistics(void __user *argp)
{
	struct blksnap_snapshot_statistics arg = {};
	int ret;

	if (copy_from_user(&arg.id, argp, sizeof(arg.id)))
		return -EFAULT;
	ret = snapshot_statistics(&arg);
	if (!ret && copy_to_user(argp, &arg, sizeof(arg)))
		ret = -EFAULT;
	return ret;
}

static long control_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	switch (cmd) {
	case BLKSNAP_IOCTL_VERSION:
		return control_version(argp);
	case BLKSNAP_IOCTL_SNAPSHOT_CREATE:
		return control_create(argp);
	case BLKSNAP_IOCTL_SNAPSHOT_DESTROY:
		return control_by_id(argp, snapshot_destroy);
	case BLKSNAP_IOCTL_SNAPSHOT_TAKE:
		return control_by_id(argp, take_writable);
	case BLKSNAP_IOCTL_SNAPSHOT_TAKE_FLAGS:
		return control_take_flags(argp);
	case BLKSNAP_IOCTL_SNAPSHOT_COLLECT:
		return control_collect(argp);
	case BLKSNAP_IOCTL_SNAPSHOT_WAIT_EVENT:
		return control_wait_event(argp);
	case BLKSNAP_IOCTL_FEATURES:
		return control_features(argp);
	case BLKSNAP_IOCTL_SNAPSHOT_STATISTICS:
		return control_statistics(argp);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations control_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice control_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = BLKSNAP_CONTROL_NAME,
	.fops = &control_operations,
	.mode = 0600,
};

static int __init blksnap_init(void)
{
	int ret = diff_storage_module_init();

	if (ret)
		return ret;
	ret = chunks_module_init();
	if (ret)
		goto err_diff_storage;
	ret = diff_job_module_init();
	if (ret)
		goto err_chunks;
	ret = origin_hold_module_init();
	if (ret)
		goto err_diff_job;
	ret = image_module_init();
	if (ret)
		goto err_origin_hold;
	ret = snapshot_module_init();
	if (ret)
		goto err_image;
	ret = take_module_init();
	if (ret)
		goto err_snapshot;
	ret = tracker_ctl_init();
	if (ret)
		goto err_take;
	ret = misc_register(&control_device);
	if (ret)
		goto err_tracker;
	return 0;

err_tracker:
	tracker_ctl_exit();
err_take:
	take_module_exit();
err_snapshot:
	snapshot_module_exit();
err_image:
	image_module_exit();
err_origin_hold:
	origin_hold_module_exit();
err_diff_job:
	diff_job_module_exit();
err_chunks:
	chunks_module_exit();
err_diff_storage:
	diff_storage_module_exit();
	return ret;
}

/* Attached filters and snapshots hold the module: there are none. */
static void __exit blksnap_exit(void)
{
	misc_deregister(&control_device);
	tracker_ctl_exit();
	take_module_exit();
	snapshot_module_exit();
	image_module_exit();
	origin_hold_module_exit();
	diff_job_module_exit();
	chunks_module_exit();
	diff_storage_module_exit();
}

module_init(blksnap_init);
module_exit(blksnap_exit);

MODULE_DESCRIPTION("Change tracking and snapshots of block devices");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
