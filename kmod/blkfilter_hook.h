/* SPDX-License-Identifier: GPL-2.0 */
/* The hooks into the kernel, and the disks whose writes they redirect. */
#ifndef _BLKFILTER_HOOK_H
#define _BLKFILTER_HOOK_H

#include <linux/blkdev.h>
#include <linux/hash.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/static_call.h>

struct mapped_device;

/**
 * struct hook_handlers - functions to call in place of, or before, the kernel's
 * @submit_bio: in place of submit_bio_noacct(), for a write to a disk that may
 *              be in hooked_disks
 * @request:    before blk_execute_rq(), blk_execute_rq_nowait() and
 *              blk_insert_cloned_request()
 * @capacity_set: before set_capacity(), in sectors
 * @table_replaced: after dm_swap_table(), before I/O goes through the new table
 * @ioctl:      in place of blkdev_ioctl(), for BLKFILTER_*
 */
struct hook_handlers {
	void (*submit_bio)(struct bio *bio);
	void (*request)(struct request *rq);
	void (*capacity_set)(const struct gendisk *disk, sector_t sectors);
	void (*table_replaced)(const struct mapped_device *md);
	long (*ioctl)(struct block_device *bdev, unsigned int cmd,
		      void __user *arg);
};

/*
 * Hooks the ioctl functions; the bio path is left alone. May sleep. hook_exit()
 * removes them and waits until no task is in our code.
 */
int hook_init(const struct hook_handlers *handlers);
void hook_exit(void);

/* While there is a disk in the table. Callers exclude each other. May sleep. */
int hook_bio_path(void);
void unhook_bio_path(void);
/* How often hook_bio_path() has placed the hooks: stays while they are. */
unsigned int hook_bio_path_count(void);

/* The same for disks of device-mapper, which is loaded then. */
int hook_dm(void);
void unhook_dm(void);

/* Every replacement of a kernel function counts its calls, first and last. */
DECLARE_PER_CPU(long, calls_inside);

/*
 * Points past the fentry of submit_bio_noacct(), where a call is not traced.
 * Where the entry does not look as known, it points to the entry, and the
 * callback knows our calls by their return address.
 */
DECLARE_STATIC_CALL(original_submit_bio_noacct, submit_bio_noacct);

static __always_inline void call_original(struct bio *bio)
{
	static_call(original_submit_bio_noacct)(bio);
	/* Were this a jump, the return address would not be in this module. */
	barrier();
}

#define DISK_HASH_BITS 6
/* Disks with filters; blkfilter_disk.c writes it. Read under RCU. */
extern struct hlist_head hooked_disks[1 << DISK_HASH_BITS];

static __always_inline struct hlist_head *
hooked_disk_bucket(const struct gendisk *disk)
{
	return &hooked_disks[hash_ptr(disk, DISK_HASH_BITS)];
}

#endif /* _BLKFILTER_HOOK_H */
