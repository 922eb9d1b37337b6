// SPDX-License-Identifier: GPL-2.0
#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "origin_hold.h"

/* A caller waits at most so long for the worker. */
#define HOLD_JIFFIES (10 * HZ)

struct origin_hold {
	struct kref ref; /* the owner, and the worker */
	dev_t dev;
	bool cancelled;
	void *opened; /* from compat_open_disk(), or NULL; the worker's */
	struct work_struct work;
	struct completion settled; /* the worker has nothing left to do */
	spinlock_t lock;	   /* innermost; guards the fields below */
	bool wanted;		   /* to be open */
	bool working;
	int error; /* error of the last open, or 0 */
};

static struct workqueue_struct *hold_queue;

static void free_hold(struct kref *ref)
{
	kfree(container_of(ref, struct origin_hold, ref));
}

/* Returns whether the disk is open as it is wanted, or cannot be opened. */
static bool is_settled(struct origin_hold *hold)
{
	bool settled;

	spin_lock(&hold->lock);
	settled = hold->wanted ? hold->opened || hold->error : !hold->opened;
	if (settled) {
		hold->working = false;
		complete_all(&hold->settled);
	}
	spin_unlock(&hold->lock);
	return settled;
}

static void hold_work(struct work_struct *work)
{
	struct origin_hold *hold = container_of(work, struct origin_hold, work);

	while (!is_settled(hold)) {
		if (hold->opened) {
			compat_close_disk(hold->opened);
			hold->opened = NULL;
			continue;
		}
		hold->opened = compat_open_disk(hold->dev);
		if (IS_ERR(hold->opened)) {
			WRITE_ONCE(hold->error, PTR_ERR(hold->opened));
			hold->opened = NULL;
		}
	}
	kref_put(&hold->ref, free_hold);
	/* origin_hold_module_exit() waits until this has returned. */
	module_put(THIS_MODULE);
}

/* Tells the worker whether the disk is to be open. */
static void want(struct origin_hold *hold, bool open)
{
	spin_lock(&hold->lock);
	hold->wanted = open;
	hold->error = 0;
	if (!hold->working) {
		hold->working = true;
		reinit_completion(&hold->settled);
		kref_get(&hold->ref);
		__module_get(THIS_MODULE);
		queue_work(hold_queue, &hold->work);
	}
	spin_unlock(&hold->lock);
}

static int wait_until_settled(struct origin_hold *hold)
{
	unsigned long deadline = jiffies + HOLD_JIFFIES;

	for (;;) {
		long left = wait_for_completion_killable_timeout(&hold->settled,
								 HZ / 10);

		if (left > 0)
			return 0;
		if (left < 0)
			return -EINTR;
		if (READ_ONCE(hold->cancelled))
			return -ECANCELED;
		if (time_after_eq(jiffies, deadline))
			return -ETIMEDOUT;
	}
}

struct origin_hold *origin_hold_alloc(dev_t dev)
{
	struct origin_hold *hold = kzalloc(sizeof(*hold), GFP_KERNEL);

	if (!hold)
		return NULL;
	kref_init(&hold->ref);
	hold->dev = dev;
	INIT_WORK(&hold->work, hold_work);
	init_completion(&hold->settled);
	spin_lock_init(&hold->lock);
	return hold;
}

int origin_hold_open(struct origin_hold *hold)
{
	int ret;

	want(hold, true);
	ret = wait_until_settled(hold);
	if (!ret)
		ret = READ_ONCE(hold->error);
	if (ret)
		want(hold, false);
	return ret;
}

void origin_hold_close(struct origin_hold *hold)
{
	want(hold, false);
	/* The caller goes on, whether the disk is closed by then or later. */
	wait_until_settled(hold);
}

void origin_hold_cancel(struct origin_hold *hold)
{
	WRITE_ONCE(hold->cancelled, true);
}

void origin_hold_put(struct origin_hold *hold)
{
	kref_put(&hold->ref, free_hold);
}

/* ---- module ---- */

int origin_hold_module_init(void)
{
	hold_queue = alloc_workqueue("blksnap_hold", WQ_UNBOUND, 0);
	return hold_queue ? 0 : -ENOMEM;
}

void origin_hold_module_exit(void)
{
	destroy_workqueue(hold_queue);
}
