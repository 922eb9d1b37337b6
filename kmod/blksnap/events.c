// SPDX-License-Identifier: GPL-2.0
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "events.h"

void event_queue_init(struct event_queue *queue)
{
	spin_lock_init(&queue->lock);
	queue->closed = false;
	INIT_LIST_HEAD(&queue->events);
	init_waitqueue_head(&queue->wake);
}

void event_queue_close(struct event_queue *queue)
{
	spin_lock_irq(&queue->lock);
	queue->closed = true;
	while (!list_empty(&queue->events))
		list_del_init(queue->events.next);
	spin_unlock_irq(&queue->lock);
	wake_up_all(&queue->wake);
}

void event_post(struct event_queue *queue, struct event *event)
{
	unsigned long flags;

	event->time = ktime_get_real_ns();
	spin_lock_irqsave(&queue->lock, flags);
	if (!queue->closed)
		list_add_tail(&event->link, &queue->events);
	spin_unlock_irqrestore(&queue->lock, flags);
	wake_up(&queue->wake);
}

void event_withdraw(struct event_queue *queue, struct event *event)
{
	spin_lock_irq(&queue->lock);
	list_del_init(&event->link);
	spin_unlock_irq(&queue->lock);
}

/* True: there is an answer, *ret. */
static bool take_event(struct event_queue *queue,
		       struct blksnap_snapshot_event *out, int *ret)
{
	struct event *event;

	spin_lock_irq(&queue->lock);
	event = list_first_entry_or_null(&queue->events, struct event, link);
	*ret = queue->closed ? -ESRCH : 0;
	if (event) {
		list_del_init(&event->link);
		out->code = event->code;
		out->time_label = event->time;
		memcpy(out->data, &event->data, sizeof(event->data));
	}
	spin_unlock_irq(&queue->lock);
	return event || *ret;
}

int event_wait(struct event_queue *queue, struct blksnap_snapshot_event *out)
{
	unsigned long timeout = msecs_to_jiffies(out->timeout_ms);
	long left;
	int ret;

	memset(out->data, 0, sizeof(out->data));
	left = wait_event_interruptible_timeout(
		queue->wake, take_event(queue, out, &ret), timeout);
	if (left < 0)
		return -EINTR;
	return left ? ret : -ENOENT;
}
