// SPDX-License-Identifier: GPL-2.0
#include <linux/dm-ioctl.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "blkfilter_dm.h"

#define CONTROL_PATH "/dev/" DM_DIR "/" DM_CONTROL_NODE
#define SMALLEST_BUFFER (16UL << 10)
#define LARGEST_BUFFER (16UL << 20)

/* What the ioctl returns behind its header: targets, and their parameters. */
struct dm_text {
	size_t length;
	u8 bytes[];
};

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
		.flags = DM_STATUS_TABLE_FLAG | DM_NOFLUSH_FLAG,
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

static struct dm_text *copy_text(unsigned long buffer,
				 const struct dm_ioctl *header)
{
	size_t length = header->data_size - header->data_start;
	struct dm_text *text =
		kvmalloc(struct_size(text, bytes, length), GFP_KERNEL);

	if (!text)
		return ERR_PTR(-ENOMEM);
	text->length = length;
	if (copy_from_user(text->bytes,
			   (void __user *)(buffer + header->data_start),
			   length)) {
		kvfree(text);
		return ERR_PTR(-EFAULT);
	}
	return text;
}

static struct dm_text *read_into(struct file *control, dev_t dev, size_t size)
{
	unsigned long buffer = vm_mmap(NULL, 0, size, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, 0);
	struct dm_ioctl header;
	struct dm_text *text;
	int ret;

	if (IS_ERR_VALUE(buffer))
		return ERR_PTR(buffer);
	ret = ask(control, dev, buffer, size, &header);
	text = ret ? ERR_PTR(ret) : copy_text(buffer, &header);
	vm_munmap(buffer, size);
	return text;
}

struct dm_text *dm_read_text(dev_t dev)
{
	struct dm_text *text = ERR_PTR(-ENOSPC);
	size_t size = SMALLEST_BUFFER;
	struct file *control;
	unsigned int noio;

	if (!current->mm)
		return ERR_PTR(-EIO);
	/* To free memory may need the device, which may be suspended. */
	noio = memalloc_noio_save();
	control = filp_open(CONTROL_PATH, O_RDWR, 0);
	if (IS_ERR(control)) {
		text = ERR_CAST(control);
		goto out;
	}
	for (; text == ERR_PTR(-ENOSPC) && size <= LARGEST_BUFFER; size *= 4)
		text = read_into(control, dev, size);
	filp_close(control, NULL);
out:
	memalloc_noio_restore(noio);
	return text;
}

void dm_free_text(struct dm_text *text)
{
	if (!IS_ERR_OR_NULL(text))
		kvfree(text);
}

bool dm_text_equal(const struct dm_text *a, const struct dm_text *b)
{
	return !IS_ERR_OR_NULL(a) && !IS_ERR_OR_NULL(b) &&
	       a->length == b->length && !memcmp(a->bytes, b->bytes, a->length);
}
