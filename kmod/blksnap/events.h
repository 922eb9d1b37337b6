/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What happened to a snapshot, for WAIT_EVENT. An event lives in what it is
 * about, which tells each of its stories once: so none is lost for want of
 * memory, and a queue nobody reads does not grow.
 */
#ifndef _BLKSNAP_EVENTS_H
#define _BLKSNAP_EVENTS_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include "uapi/blksnap.h"

struct event {
	struct list_head link; /* event_queue.events, until it was read */
	u32 code;	       /* enum blksnap_event_codes */
	s64 time;	       /* CLOCK_REALTIME, ns */
	union {
		struct blksnap_event_corrupted corrupted;
		struct blksnap_event_no_space no_space;
	} data;
};

struct event_queue {
	spinlock_t lock; /* guards all; taken from interrupts; innermost */
	bool closed;
	struct list_head events;
	wait_queue_head_t wake;
};

void event_queue_init(struct event_queue *queue);
/*
 * The snapshot is destroyed: who waits gets ESRCH, what comes is dropped. From
 * then on no event is touched.
 */
void event_queue_close(struct event_queue *queue);

/* Appends it; the caller has set code and data. Once in an event's life. Any
 * context. */
void event_post(struct event_queue *queue, struct event *event);

/*
 * Removes an event, posted or not, before its memory is freed. INIT_LIST_HEAD()
 * of its link comes before. May sleep.
 */
void event_withdraw(struct event_queue *queue, struct event *event);

/*
 * Takes the oldest event out. Errors as BLKSNAP_IOCTL_SNAPSHOT_WAIT_EVENT. May
 * sleep. An event goes to one caller.
 */
int event_wait(struct event_queue *queue, struct blksnap_snapshot_event *out);

#endif /* _BLKSNAP_EVENTS_H */
