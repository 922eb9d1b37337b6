/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copy on write: jobs that make granules safe before a write goes down.
 *
 * A job has taken over the bio of a write. The writer, inside blkfilter's
 * bracket, runs it as far as it gets without waiting, and a worker runs the
 * rest: a take waits for brackets, and must not wait for the difference
 * storage. The worker does not sleep for room either; the job is queued again
 * when there is room.
 *
 *   state               next step when                     queued by
 *   claiming            at once                            -
 *   waiting for room    a copy was stored, or the image    diff_area.c
 *                       died
 *   waiting for memory  after 20 ms, or as above           diff_area.c
 *   reading             its last read has ended            copied()
 *   waiting for others  another job's read of the same     wake_waiters()
 *                       chunk has ended, or failed
 *   done                the bio is resubmitted, the job freed
 */
#ifndef _BLKSNAP_DIFF_JOB_H
#define _BLKSNAP_DIFF_JOB_H

#include <linux/bio.h>

struct diff_area;

int diff_job_module_init(void);
void diff_job_module_exit(void);

/*
 * A write to these sectors (within the device) wants to pass. True: it was
 * taken over, and is resubmitted when the old data is safe. As
 * blkfilter_operations.submit_bio.
 */
bool diff_job_cow(struct diff_area *area, struct bio *bio, sector_t sector,
		  sector_t count);

/*
 * Copies the old data of [pos, end), excluded parts too, and waits until it is
 * safe, or the image dead. May sleep; not where current->bio_list is set.
 */
void diff_job_copy_range(struct diff_area *area, u64 pos, u64 end);

#endif /* _BLKSNAP_DIFF_JOB_H */
