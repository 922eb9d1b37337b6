// SPDX-License-Identifier: GPL-2.0
/*
 * The interface that swapon has to file systems (address_space_operations.
 * swap_activate) is the one that says where a file lies, unwritten parts
 * included, and that keeps it from being moved; S_SWAPFILE is what the VFS
 * looks at before it truncates, removes, renames or writes. We are no swap:
 * the rest of swap_info_struct is not looked at by file systems.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bsearch.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rbtree.h>
#include <linux/slab.h>
#include <linux/swap.h>

#include "file_extents.h"

static void drop_swap_extents(struct swap_info_struct *sis)
{
	struct rb_node *node;

	while ((node = rb_first(&sis->swap_extent_root))) {
		rb_erase(node, &sis->swap_extent_root);
		kfree(rb_entry(node, struct swap_extent, rb_node));
	}
}

/* From what the file system told, in pages, with start_block in pages too. */
static int take_over(const struct swap_info_struct *sis,
		     struct file_extents *extents)
{
	struct rb_node *node;
	unsigned int n = 0;

	for (node = rb_first(&sis->swap_extent_root); node;
	     node = rb_next(node))
		n++;
	extents->list = kvmalloc_array(n, sizeof(*extents->list), GFP_KERNEL);
	if (!extents->list)
		return -ENOMEM;
	extents->bdev = sis->bdev;
	extents->count = n;
	extents->bytes = 0;
	n = 0;
	for (node = rb_first(&sis->swap_extent_root); node;
	     node = rb_next(node)) {
		struct swap_extent *se =
			rb_entry(node, struct swap_extent, rb_node);
		struct file_extent *extent = &extents->list[n++];

		extent->pos = (u64)se->start_page << PAGE_SHIFT;
		extent->length = (u64)se->nr_pages << PAGE_SHIFT;
		extent->start = (u64)se->start_block << PAGE_SHIFT;
		if (extent->pos != extents->bytes)
			return -EIO;
		extents->bytes += extent->length;
	}
	return n ? 0 : -EINVAL;
}

static int ask_file_system(struct file *file, struct file_extents *extents)
{
	struct address_space *mapping = file->f_mapping;
	struct swap_info_struct *sis = kzalloc(sizeof(*sis), GFP_KERNEL);
	sector_t span;
	int ret;

	lockdep_assert_held_write(&mapping->host->i_rwsem);

	if (!sis)
		return -ENOMEM;
	sis->swap_extent_root = RB_ROOT;
	sis->bdev = mapping->host->i_sb->s_bdev;
	sis->max = UINT_MAX;
	ret = mapping->a_ops->swap_activate(sis, file, &span);
	if (ret >= 0)
		ret = sis->bdev ? take_over(sis, extents) : -EOPNOTSUPP;
	if (ret) {
		kvfree(extents->list);
		extents->list = NULL;
	}
	drop_swap_extents(sis);
	kfree(sis);
	return ret;
}

static void let_go(struct file *file)
{
	const struct address_space_operations *ops = file->f_mapping->a_ops;

	if (ops->swap_deactivate)
		ops->swap_deactivate(file);
}

static int check_pinnable(struct file *file)
{
	struct inode *inode = file_inode(file);

	/* Files of network file systems lie elsewhere. */
	if (!(inode->i_sb->s_type->fs_flags & FS_REQUIRES_DEV) ||
	    !file->f_mapping->a_ops->swap_activate || !file->f_op->fallocate)
		return -EOPNOTSUPP;
	/* What we write would not be encrypted. */
	if (IS_ENCRYPTED(inode))
		return -EOPNOTSUPP;
	if (IS_SWAPFILE(inode))
		return -EBUSY;
	if (mapping_writably_mapped(file->f_mapping))
		return -ETXTBSY;
	return 0;
}

int file_extents_pin(struct file *file, struct file_extents *extents)
{
	struct inode *inode = file_inode(file);
	int ret;

	inode_lock(inode);
	ret = check_pinnable(file);
	if (!ret)
		ret = ask_file_system(file, extents);
	if (!ret) {
		inode->i_flags |= S_SWAPFILE;
		/* Clean since it was activated; and soon not true any more. */
		invalidate_inode_pages2(file->f_mapping);
	}
	inode_unlock(inode);
	return ret;
}

int file_extents_again(struct file *file, const struct file_extents *old,
		       struct file_extents *new)
{
	struct inode *inode = file_inode(file);
	unsigned int i;
	int ret;

	inode_lock(inode);
	let_go(file);
	ret = ask_file_system(file, new);
	inode_unlock(inode);
	if (ret)
		return ret;
	/* Only the last extent may have become longer. */
	for (i = 0; i < old->count && !ret; i++) {
		const struct file_extent *was = &old->list[i];
		const struct file_extent *is = &new->list[i];

		if (i >= new->count || is->pos != was->pos ||
		    is->start != was->start || is->length < was->length)
			ret = -EIO;
	}
	if (old->bdev != new->bdev)
		ret = -EIO;
	if (ret)
		file_extents_free(new);
	return ret;
}

void file_extents_unpin(struct file *file)
{
	struct inode *inode = file_inode(file);

	inode_lock(inode);
	let_go(file);
	inode->i_flags &= ~S_SWAPFILE;
	inode_unlock(inode);
}

void file_extents_free(struct file_extents *extents)
{
	kvfree(extents->list);
	extents->list = NULL;
}

int file_extents_grow(struct file *file, u64 size)
{
	u64 now = i_size_read(file_inode(file));
	int ret;

	if (size <= now)
		return 0;
	/* Not vfs_fallocate(): it leaves swap files alone. */
	file_start_write(file);
	ret = file->f_op->fallocate(file, 0, now, size - now);
	file_end_write(file);
	return ret;
}

static int compare(const void *key, const void *elt)
{
	const struct file_extent *extent = elt;
	u64 pos = *(const u64 *)key;

	if (pos < extent->pos)
		return -1;
	return pos >= extent->pos + extent->length;
}

const struct file_extent *file_extents_find(const struct file_extents *extents,
					    u64 pos)
{
	return bsearch(&pos, extents->list, extents->count,
		       sizeof(*extents->list), compare);
}
