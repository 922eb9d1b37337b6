// SPDX-License-Identifier: GPL-2.0
/*
 * A RAM disk, /dev/blkram, for what no disk of a guest can do: secure erase,
 * FUA that can be seen, and atomic writes (Linux 6.11). It splits what is
 * larger than 64 KiB, and is not request-based. What it erases reads as 0xee,
 * what it discards as 0xdd.
 *
 * In /sys/module/blkram/parameters:
 *
 *   seen   the writes that reached it, by kind: "KIND BIOS SECTORS" a line;
 *          writing to it resets the numbers
 *   again  Y: what is not to wait would have to, and is told EAGAIN
 *   poke   "KIND SECTOR" writes 4 KiB there, as no program can: one of the first
 *          four kinds, or "plug": a plug that is not to wait (before Linux 6.5)
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#define MAX_SECTORS 128U

static unsigned int size_mb = 32;
module_param(size_mb, uint, 0444);

static bool again;
module_param(again, bool, 0644);

static struct gendisk *disk;
static u8 *memory;

/* ---- what was seen ---- */

static const char *const kinds[] = {
	"write", "fua", "preflush", "preflush+fua", "flush",
	"discard", "erase", "zeroes", "atomic",
};
enum kind {
	WRITE_PLAIN, WRITE_FUA, WRITE_PREFLUSH, WRITE_BOTH, FLUSH,
	DISCARD, ERASE, ZEROES, ATOMIC, KINDS
};

static DEFINE_SPINLOCK(seen_lock);
static struct {
	unsigned long bios;
	unsigned long sectors;
} seen[KINDS];

static enum kind kind_of(struct bio *bio)
{
	switch (bio_op(bio)) {
	case REQ_OP_DISCARD:
		return DISCARD;
	case REQ_OP_SECURE_ERASE:
		return ERASE;
	case REQ_OP_WRITE_ZEROES:
		return ZEROES;
	default:
		break;
	}
#ifdef REQ_ATOMIC
	if (bio->bi_opf & REQ_ATOMIC)
		return ATOMIC;
#endif
	if (!bio_sectors(bio))
		return FLUSH;
	if (bio->bi_opf & REQ_PREFLUSH)
		return bio->bi_opf & REQ_FUA ? WRITE_BOTH : WRITE_PREFLUSH;
	return bio->bi_opf & REQ_FUA ? WRITE_FUA : WRITE_PLAIN;
}

static int get_seen(char *buffer, const struct kernel_param *param)
{
	int i, length = 0;

	spin_lock(&seen_lock);
	for (i = 0; i < KINDS; i++)
		length += sysfs_emit_at(buffer, length, "%s %lu %lu\n",
					kinds[i], seen[i].bios,
					seen[i].sectors);
	spin_unlock(&seen_lock);
	return length;
}

static int reset_seen(const char *value, const struct kernel_param *param)
{
	spin_lock(&seen_lock);
	memset(seen, 0, sizeof(seen));
	spin_unlock(&seen_lock);
	return 0;
}

static const struct kernel_param_ops seen_ops = {
	.get = get_seen,
	.set = reset_seen,
};
module_param_cb(seen, &seen_ops, NULL, 0644);

/* ---- writes of its own ---- */

static int write_page(blk_opf_t flags, u64 sector)
{
	struct page *page = alloc_page(GFP_KERNEL);
	struct bio_vec bv;
	struct bio bio;
	int ret;

	if (!page)
		return -ENOMEM;
	memset(page_address(page), 'p', PAGE_SIZE);
	bio_init(&bio, disk->part0, &bv, 1, REQ_OP_WRITE | flags);
	bio.bi_iter.bi_sector = sector;
	__bio_add_page(&bio, page, PAGE_SIZE, 0);
	ret = submit_bio_wait(&bio);
	bio_uninit(&bio);
	__free_page(page);
	return ret;
}

static int write_plugged(u64 sector)
{
	struct blk_plug plug;
	int ret;

	blk_start_plug(&plug);
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
	plug.nowait = true;
#endif
	ret = write_page(0, sector);
	blk_finish_plug(&plug);
	return ret;
}

static int poke(const char *value, const struct kernel_param *param)
{
	static const blk_opf_t flags[] = {
		[WRITE_FUA] = REQ_FUA,
		[WRITE_PREFLUSH] = REQ_PREFLUSH,
		[WRITE_BOTH] = REQ_PREFLUSH | REQ_FUA,
	};
	char kind[16];
	u64 sector;
	int i;

	if (sscanf(value, "%15s %llu", kind, &sector) != 2)
		return -EINVAL;
	if (!strcmp(kind, "plug"))
		return write_plugged(sector);
	i = match_string(kinds, ARRAY_SIZE(flags), kind);
	return i < 0 ? i : write_page(flags[i], sector);
}

static const struct kernel_param_ops poke_ops = { .set = poke };
module_param_cb(poke, &poke_ops, NULL, 0200);

/* ---- the disk ---- */

static void transfer(struct bio *bio, u8 *at)
{
	struct bvec_iter iter;
	struct bio_vec bv;

	bio_for_each_segment(bv, bio, iter) {
		if (op_is_write(bio_op(bio)))
			memcpy_from_bvec(at, &bv);
		else
			memcpy_to_bvec(&bv, at);
		at += bv.bv_len;
	}
}

static void ram_submit_bio(struct bio *bio)
{
	enum kind kind;
	u8 *at;

	if (again && (bio->bi_opf & REQ_NOWAIT)) {
		bio_wouldblock_error(bio);
		return;
	}
	bio = bio_split_to_limits(bio);
	if (!bio)
		return;
	at = memory + (bio->bi_iter.bi_sector << SECTOR_SHIFT);
	kind = kind_of(bio);
	if (op_is_write(bio_op(bio))) {
		spin_lock(&seen_lock);
		seen[kind].bios++;
		seen[kind].sectors += bio_sectors(bio);
		spin_unlock(&seen_lock);
	}
	switch (kind) {
	case DISCARD:
		memset(at, 0xdd, bio->bi_iter.bi_size);
		break;
	case ERASE:
		memset(at, 0xee, bio->bi_iter.bi_size);
		break;
	case ZEROES:
		memset(at, 0, bio->bi_iter.bi_size);
		break;
	default:
		transfer(bio, at);
	}
	bio_endio(bio);
}

static const struct block_device_operations ram_fops = {
	.owner = THIS_MODULE,
	.submit_bio = ram_submit_bio,
};

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
static struct gendisk *make_disk(void)
{
	struct gendisk *new = blk_alloc_disk(NUMA_NO_NODE);

	if (!new)
		return ERR_PTR(-ENOMEM);
	blk_queue_flag_set(QUEUE_FLAG_NOWAIT, new->queue);
	blk_queue_write_cache(new->queue, true, true);
	blk_queue_max_hw_sectors(new->queue, MAX_SECTORS);
	blk_queue_max_discard_sectors(new->queue, UINT_MAX >> SECTOR_SHIFT);
	blk_queue_max_secure_erase_sectors(new->queue, UINT_MAX >> SECTOR_SHIFT);
	blk_queue_max_write_zeroes_sectors(new->queue, UINT_MAX >> SECTOR_SHIFT);
	new->queue->limits.discard_granularity = SECTOR_SIZE;
	return new;
}
#else
static struct gendisk *make_disk(void)
{
	struct queue_limits limits = {
		.features = BLK_FEAT_WRITE_CACHE | BLK_FEAT_FUA |
			    BLK_FEAT_NOWAIT,
		.max_hw_sectors = MAX_SECTORS,
		.max_hw_discard_sectors = UINT_MAX >> SECTOR_SHIFT,
		.max_secure_erase_sectors = UINT_MAX >> SECTOR_SHIFT,
		.max_write_zeroes_sectors = UINT_MAX >> SECTOR_SHIFT,
		.discard_granularity = SECTOR_SIZE,
#ifdef REQ_ATOMIC
		.atomic_write_hw_max = MAX_SECTORS << SECTOR_SHIFT,
		.atomic_write_hw_unit_min = SECTOR_SIZE,
		.atomic_write_hw_unit_max = MAX_SECTORS << SECTOR_SHIFT,
#endif
	};

	return blk_alloc_disk(&limits, NUMA_NO_NODE);
}
#endif

static int __init ram_init(void)
{
	int ret;

	memory = vzalloc((size_t)size_mb << 20);
	if (!memory)
		return -ENOMEM;
	disk = make_disk();
	if (IS_ERR(disk)) {
		ret = PTR_ERR(disk);
		goto err_memory;
	}
	disk->fops = &ram_fops;
	strscpy(disk->disk_name, "blkram", DISK_NAME_LEN);
	set_capacity(disk, (sector_t)size_mb << (20 - SECTOR_SHIFT));
	ret = device_add_disk(NULL, disk, NULL);
	if (!ret)
		return 0;
	put_disk(disk);
err_memory:
	vfree(memory);
	return ret;
}

static void __exit ram_exit(void)
{
	del_gendisk(disk);
	put_disk(disk);
	vfree(memory);
}

module_init(ram_init);
module_exit(ram_exit);

MODULE_DESCRIPTION("A RAM disk that tells what reached it, for tests of blkfilter");
MODULE_LICENSE("GPL");
