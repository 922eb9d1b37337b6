// SPDX-License-Identifier: GPL-2.0
/*
 * A request-based RAM disk, /dev/pieces, that does a write in pieces: it completes
 * half of the remaining bytes and requeues the request, which comes back 100 ms
 * later, as drivers of disks with short transfers do. No driver of a guest does so for writes.
 *
 * In /sys/module/pieces/parameters:
 *
 *   done   pieces that were not the last one of their write
 */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/highmem.h>
#include <linux/module.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#define DELAY_MS 100

static unsigned int size_mb = 32;
module_param(size_mb, uint, 0444);

static ulong done;
module_param(done, ulong, 0444);

static struct blk_mq_tag_set tags;
static struct gendisk *disk;
static u8 *memory;

/* Copies the first @length of the remaining bytes of the request. */
static void transfer(struct request *rq, unsigned int length)
{
	u8 *at = memory + (blk_rq_pos(rq) << SECTOR_SHIFT);
	struct req_iterator iter;
	struct bio_vec bv;

	rq_for_each_segment(bv, rq, iter) {
		bv.bv_len = min(bv.bv_len, length);
		if (op_is_write(req_op(rq)))
			memcpy_from_bvec(at, &bv);
		else
			memcpy_to_bvec(&bv, at);
		at += bv.bv_len;
		length -= bv.bv_len;
		if (!length)
			break;
	}
}

static blk_status_t queue_rq(struct blk_mq_hw_ctx *hctx,
			     const struct blk_mq_queue_data *bd)
{
	struct request *rq = bd->rq;
	unsigned int left = blk_rq_bytes(rq), length = left;

	blk_mq_start_request(rq);
	switch (req_op(rq)) {
	case REQ_OP_WRITE:
		length = ALIGN(left / 2, SECTOR_SIZE) ?: left;
		fallthrough;
	case REQ_OP_READ:
		transfer(rq, length);
		break;
	default:
		blk_mq_end_request(rq, BLK_STS_NOTSUPP);
		return BLK_STS_OK;
	}
	if (length == left) {
		blk_mq_end_request(rq, BLK_STS_OK);
		return BLK_STS_OK;
	}
	done++;
	blk_update_request(rq, BLK_STS_OK, length);
	blk_mq_requeue_request(rq, false);
	blk_mq_delay_kick_requeue_list(hctx->queue, DELAY_MS);
	return BLK_STS_OK;
}

static const struct blk_mq_ops mq_ops = { .queue_rq = queue_rq };
static const struct block_device_operations fops = { .owner = THIS_MODULE };

static struct gendisk *make_disk(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	return blk_mq_alloc_disk(&tags, NULL);
#else
	return blk_mq_alloc_disk(&tags, NULL, NULL);
#endif
}

static int __init pieces_init(void)
{
	int ret = -ENOMEM;

	memory = vzalloc((size_t)size_mb << 20);
	if (!memory)
		return ret;
	tags.ops = &mq_ops;
	tags.nr_hw_queues = 1;
	tags.queue_depth = 64;
	tags.numa_node = NUMA_NO_NODE;
	ret = blk_mq_alloc_tag_set(&tags);
	if (ret)
		goto err_memory;
	disk = make_disk();
	if (IS_ERR(disk)) {
		ret = PTR_ERR(disk);
		goto err_tags;
	}
	disk->fops = &fops;
	strscpy(disk->disk_name, "pieces", DISK_NAME_LEN);
	set_capacity(disk, (sector_t)size_mb << (20 - SECTOR_SHIFT));
	ret = device_add_disk(NULL, disk, NULL);
	if (!ret)
		return 0;
	put_disk(disk);
err_tags:
	blk_mq_free_tag_set(&tags);
err_memory:
	vfree(memory);
	return ret;
}

static void __exit pieces_exit(void)
{
	del_gendisk(disk);
	put_disk(disk);
	blk_mq_free_tag_set(&tags);
	vfree(memory);
}

module_init(pieces_init);
module_exit(pieces_exit);

MODULE_DESCRIPTION("A RAM disk that completes writes in pieces, for tests of blkfilter");
MODULE_LICENSE("GPL");
