/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A take: one instant between two writes for all devices of a snapshot.
 *
 *   1. find the file systems that stand on the devices (quiesce.h), and sync
 *      all at once, so that a large backlog of one is not written back while
 *      others are frozen;
 *   2. freeze them, upper devices of a stack first;
 *   3. close the gate: new writes are put aside, nobody sleeps;
 *   4. drain the writes that had passed the filters: from here on no device
 *      changes;
 *   5. flip all devices: freeze the change maps, begin copy on write;
 *   6. open the gate, submit the writes that were put aside, thaw.
 *
 * take_sync_timeout limits step 1, take_timeout steps 2 to 4 together; a fatal
 * signal ends either. sync and freeze cannot be interrupted, so workers call
 * them. At the limit the take thaws what is frozen and returns; a worker that
 * returns later thaws what it has frozen. Until then its device stays held, and
 * refuses another take and a detach.
 *
 * A failure before step 5 changes nothing. Between 2 and 6 the caller allocates
 * no memory that might wait for these devices, and takes no lock whose holder
 * might.
 */
#ifndef _BLKSNAP_TAKE_H
#define _BLKSNAP_TAKE_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>

struct blkfilter_drain;
struct cbt_map;
struct diff_area;
struct gate;
struct take;
struct tracker;

/**
 * struct take_member - one device
 * @area: its copy on write begins here; set by the caller before take_run()
 * @map:  replaces the tracker's map, or NULL; set by the caller as well
 * @quiesced: enum blksnap_quiesced_how; set by take_run() if it returns 0
 *
 * The rest is private to take.c.
 */
struct take_member {
	struct diff_area *area;
	struct cbt_map *map;
	u32 quiesced;

	struct tracker *tracker;
	atomic_t users; /* the caller, and workers */
	struct blkfilter_drain *drain;
	struct list_head targets; /* struct quiesce_target */
};

int take_module_init(void);
void take_module_exit(void);

/* A take of @count devices, or NULL without memory. May sleep. */
struct take *take_alloc(unsigned int count);

/*
 * Adds a device, which is held and cannot be detached until take_end().
 * ERR_PTR: EBUSY, a worker of an earlier take has not returned; ENODEV, the
 * device is being removed; ENOMEM. May sleep.
 */
struct take_member *take_add(struct take *take, struct tracker *tracker);

/*
 * Steps 1 to 6; once. @outer: the mutex, held by the caller, inside which
 * several trackers may be locked. ETIMEDOUT; EINTR; EBUSY, the file of a loop
 * device lies on another device of the take; ENODEV, a device is going away;
 * ENOMEM. May sleep.
 */
int take_run(struct take *take, struct gate *gate, struct mutex *outer);

/*
 * Releases the devices, and frees the take once its workers have returned. The
 * pointers that take_add() returned are invalid then.
 */
void take_end(struct take *take);

#endif /* _BLKSNAP_TAKE_H */
