// SPDX-License-Identifier: GPL-2.0
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dm-ioctl.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/random.h>
#include <linux/sched/mm.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "blkfilter_dm.h"

#define CONTROL_PATH "/dev/" DM_DIR "/" DM_CONTROL_NODE
#define SMALLEST_BUFFER (16UL << 10)
#define LARGEST_BUFFER (16UL << 20)

static siphash_key_t hash_key __ro_after_init;

void __init dm_init(void)
{
	get_random_bytes(&hash_key, sizeof(hash_key));
}

bool dm_is_disk(const struct gendisk *disk)
{
	return strstarts(disk->disk_name, "dm-");
}

/* Asks with a buffer of user memory. ENOSPC: it is too small. */
static int ask(struct file *control, dev_t dev, unsigned long buffer,
	       size_t size, struct dm_ioctl *header)
{
	void __user *user = (void __user *)buffer;
	long ret;

	*header = (struct dm_ioctl){
		.version = {DM_VERSION_MAJOR, 0, 0},
		.data_size = size,
		.data_start = sizeof(*header),
		.flags = DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG |
			 DM_SECURE_DATA_FLAG,
		.dev = huge_encode_dev(dev),
	};
	if (copy_to_user(user, header, sizeof(*header)))
		return -EFAULT;
	ret = control->f_op->unlocked_ioctl(control, DM_TABLE_STATUS, buffer);
	if (ret)
		return ret;
	if (copy_from_user(header, user, sizeof(*header)))
		return -EFAULT;
	if (header->flags & DM_BUFFER_FULL_FLAG)
		return -ENOSPC;
	if (header->data_start > header->data_size || header->data_size > size)
		return -EIO;
	return 0;
}

/* Hashes the targets and parameters, which the ioctl put behind its header. */
static int hash_text(unsigned long buffer, const struct dm_ioctl *header,
		     u64 *number)
{
	const void __user *user = (void __user *)(buffer + header->data_start);
	size_t length = header->data_size - header->data_start;
	void *text = kvmalloc(max(length, (size_t)1), GFP_KERNEL);
	int ret = -EFAULT;

	if (!text)
		return -ENOMEM;
	if (!copy_from_user(text, user, length)) {
		*number = siphash(text, length, &hash_key) ?: 1;
		ret = 0;
	}
	kvfree_sensitive(text, length);
	return ret;
}

static int hash_table(struct file *control, dev_t dev, size_t size, u64 *number)
{
	unsigned long buffer = vm_mmap(NULL, 0, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, 0);
	struct dm_ioctl header;
	int ret;

	if (IS_ERR_VALUE(buffer))
		return buffer;
	ret = ask(control, dev, buffer, size, &header);
	if (!ret)
		ret = hash_text(buffer, &header, number);
	/* The text may have keys in it. */
	if (clear_user((void __user *)buffer, size))
		pr_debug("the text of a table was not cleared\n");
	vm_munmap(buffer, size);
	return ret;
}

u64 dm_table_number(dev_t dev)
{
	size_t size = SMALLEST_BUFFER;
	struct file *control;
	unsigned int noio;
	u64 number = 0;
	int ret;

	if (!current->mm)
		return 0;
	/* To free memory may need the device, which may be suspended. */
	noio = memalloc_noio_save();
	control = filp_open(CONTROL_PATH, O_RDWR, 0);
	if (!IS_ERR(control)) {
		do {
			ret = hash_table(control, dev, size, &number);
			size *= 4;
		} while (ret == -ENOSPC && size <= LARGEST_BUFFER);
		filp_close(control, NULL);
	}
	memalloc_noio_restore(noio);
	return number;
}
