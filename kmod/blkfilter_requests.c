// SPDX-License-Identifier: GPL-2.0
#include <linux/blk-mq.h>
#include <linux/device.h>
#include <linux/highmem.h>
#include <linux/kallsyms.h>
#include <linux/nvme.h>
#include <linux/string.h>
#include <scsi/scsi_cmnd.h>

#include "blkfilter_disk.h"
#include "blkfilter_passthrough.h"
#include "blkfilter_requests.h"

static const char cloned[] = "written by a multipath map";
static const char passed[] = "changed by a passthrough command";

/* ---- SCSI ---- */

/* Returns the first two bytes of the request's data, or -1. */
static int first_word(const struct request *rq)
{
	const struct bio *bio = rq->bio;
	struct bio_vec bv;
	u8 bytes[2];

	if (!bio || !bio_has_data((struct bio *)bio))
		return -1;
	bv = bio_iter_iovec(bio, bio->bi_iter);
	if (bv.bv_len < sizeof(bytes))
		return -1;
	memcpy_from_page((char *)bytes, bv.bv_page, bv.bv_offset,
			 sizeof(bytes));
	return bytes[0] | bytes[1] << 8;
}

static bool scsi_request_is_harmless(struct request *rq)
{
	const struct scsi_cmnd *command = blk_mq_rq_to_pdu(rq);

	return scsi_command_is_harmless(command->cmnd, first_word(rq));
}

/* ---- NVMe ---- */

/*
 * The pdu of each NVMe transport begins with struct nvme_request, and that with
 * the pointer to the command (drivers/nvme/host/nvme.h, 5.4 to 7.3).
 */
static u8 nvme_opcode(struct request *rq)
{
	struct nvme_command *const *command = blk_mq_rq_to_pdu(rq);

	return (*command)->common.opcode;
}

/* Returns whether the queue is of an NVMe controller, and not of a namespace.
 */
static bool is_nvme_admin_queue(const struct request_queue *q)
{
	char name[KSYM_SYMBOL_LEN];

	if (q->disk)
		return false;
	/* The name is "nvme_mq_admin_ops+0x0/0x80 [nvme]", for example. */
	sprint_symbol(name, (unsigned long)q->mq_ops);
	return strstr(name, "nvme") && strstr(name, "admin");
}

static const char *class_above(const struct gendisk *disk)
{
	const struct device *parent = disk_to_dev(disk)->parent;

	return parent && parent->class ? parent->class->name : "";
}

/* A namespace, or the head of one with several paths. */
static bool is_nvme(const struct gendisk *disk)
{
	return strstarts(class_above(disk), "nvme");
}

static bool is_any_nvme(const struct gendisk *disk, const void *unused)
{
	return is_nvme(disk);
}

/* Returns whether @data, "nvme0c1n2", is the name of a path to "nvme0n2". */
static bool is_head_of(const struct gendisk *disk, const void *data)
{
	unsigned int subsystem, controller, namespace;
	char head[DISK_NAME_LEN];

	if (sscanf(data, "nvme%uc%un%u", &subsystem, &controller, &namespace) !=
	    3)
		return false;
	snprintf(head, sizeof(head), "nvme%un%u", subsystem, namespace);
	return !strcmp(disk->disk_name, head);
}

/* ---- any request ---- */

static const char *bus_above(const struct gendisk *disk)
{
	const struct device *parent = disk_to_dev(disk)->parent;

	return parent && parent->bus ? parent->bus->name : "";
}

/* To a disk that has filters. */
static bool passthrough_is_harmless(struct request *rq)
{
	const struct gendisk *disk = rq->q->disk;

	if (!strcmp(bus_above(disk), "scsi"))
		return scsi_request_is_harmless(rq);
	if (is_nvme(disk))
		return nvme_io_command_is_harmless(nvme_opcode(rq));
	/* virtio-blk asks for the disk's serial number that way. */
	if (!strcmp(bus_above(disk), "virtio"))
		return req_op(rq) == REQ_OP_DRV_IN;
	return false;
}

static void check_passthrough(struct request *rq)
{
	struct gendisk *disk = READ_ONCE(rq->q->disk);

	if (disk && disk_has_filters(disk)) {
		if (!passthrough_is_harmless(rq))
			disk_tell_untracked(disk, passed);
	} else if (disk && disk->flags & GENHD_FL_HIDDEN) {
		if (!nvme_io_command_is_harmless(nvme_opcode(rq)))
			disks_tell_untracked(is_head_of, disk->disk_name,
					     passed);
	} else if (is_nvme_admin_queue(rq->q)) {
		/* A controller does not lead to the disks of its namespaces. */
		if (!nvme_admin_command_is_harmless(nvme_opcode(rq)))
			disks_tell_untracked(is_any_nvme, NULL, passed);
	}
}

void request_executed(struct request *rq)
{
	/* The memory of a disk stays for so long. */
	rcu_read_lock();
	if (blk_rq_is_passthrough(rq))
		check_passthrough(rq);
	else if (op_is_write(req_op(rq)))
		disk_tell_untracked(READ_ONCE(rq->q->disk), cloned);
	rcu_read_unlock();
}
