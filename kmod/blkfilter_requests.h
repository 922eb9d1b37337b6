/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Watches requests that reach a disk without a bio of that disk. A multipath
 * map sends them to its paths; passthrough commands are others (SG_IO, bsg,
 * NVMe ioctls, SCSI and NVMe targets).
 */
#ifndef _BLKFILTER_REQUESTS_H
#define _BLKFILTER_REQUESTS_H

struct request;

/*
 * Tells the filters of the disk if @rq, which is about to be executed, may
 * change its data. Any context, except NMI.
 */
void request_executed(struct request *rq);

#endif /* _BLKFILTER_REQUESTS_H */
