/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests that reach a disk without a bio of that disk: those of a
 * request-based device-mapper above it, and passthrough commands (SG_IO, bsg,
 * NVMe ioctls, SCSI and NVMe targets).
 */
#ifndef _BLKFILTER_REQUESTS_H
#define _BLKFILTER_REQUESTS_H

struct request;

/*
 * @rq is about to be executed. If it may change what a disk with filters holds,
 * they are told. Any context, except NMI.
 */
void request_executed(struct request *rq);

#endif /* _BLKFILTER_REQUESTS_H */
