// SPDX-License-Identifier: GPL-2.0
/*
 * A second filter, for tests of blkfilter: it counts the writes to a device,
 * and can keep them back for a while. Control words:
 *
 *   0  read the counters: struct counters
 *   1  hold: writes are taken over and kept
 *   2  release: they go on; what comes is let pass again
 *
 * While it holds it is busy, and cannot be detached.
 */
#include <linux/bio.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#include "blkfilter.h"

enum { COUNT_READ, COUNT_HOLD, COUNT_RELEASE };

struct counters {
	__u64 writes; /* that were let pass */
	__u64 sectors;
	__u64 held; /* kept back now */
};

struct counter {
	struct blkfilter filter;
	spinlock_t lock;
	struct counters counters;
	bool holds;
	struct bio_list bios;
};

static struct counter *to_counter(struct blkfilter *flt)
{
	return container_of(flt, struct counter, filter);
}

static struct blkfilter *count_attach(struct block_device *bdev,
				      const void __user *opt, u32 optlen)
{
	struct counter *counter;

	/* One that says no, so that this can be tested as well. */
	if (optlen)
		return ERR_PTR(-EOPNOTSUPP);
	counter = kzalloc(sizeof(*counter), GFP_KERNEL);
	if (!counter)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&counter->lock);
	bio_list_init(&counter->bios);
	return &counter->filter;
}

static int count_busy(struct blkfilter *flt)
{
	return READ_ONCE(to_counter(flt)->holds) ? -EBUSY : 0;
}

static void release_bios(struct counter *counter)
{
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&counter->lock);
	counter->holds = false;
	counter->counters.held = 0;
	bios = counter->bios;
	bio_list_init(&counter->bios);
	spin_unlock_irq(&counter->lock);
	while ((bio = bio_list_pop(&bios)))
		blkfilter_resubmit(bio);
}

static void count_detach(struct blkfilter *flt)
{
	struct counter *counter = to_counter(flt);

	/* Of a device that went away while we held: they fail, as they should. */
	release_bios(counter);
	kfree(counter);
}

static bool count_submit_bio(struct blkfilter *flt, struct bio *bio,
			     sector_t sector, sector_t count)
{
	struct counter *counter = to_counter(flt);
	unsigned long flags;
	bool hold;

	spin_lock_irqsave(&counter->lock, flags);
	hold = counter->holds;
	if (hold) {
		bio_list_add(&counter->bios, bio);
		counter->counters.held++;
	} else {
		counter->counters.writes++;
		counter->counters.sectors += count;
	}
	spin_unlock_irqrestore(&counter->lock, flags);
	return hold;
}

static int count_ctl(struct blkfilter *flt, u32 cmd, void __user *opt,
		     u32 *optlen)
{
	struct counter *counter = to_counter(flt);
	struct counters now;

	switch (cmd) {
	case COUNT_READ:
		if (*optlen < sizeof(now))
			return -EINVAL;
		spin_lock_irq(&counter->lock);
		now = counter->counters;
		spin_unlock_irq(&counter->lock);
		*optlen = sizeof(now);
		return copy_to_user(opt, &now, sizeof(now)) ? -EFAULT : 0;
	case COUNT_HOLD:
		spin_lock_irq(&counter->lock);
		counter->holds = true;
		spin_unlock_irq(&counter->lock);
		return 0;
	case COUNT_RELEASE:
		release_bios(counter);
		return 0;
	default:
		return -ENOTTY;
	}
}

static struct blkfilter_operations count_operations = {
	.owner = THIS_MODULE,
	.name = "blkcount",
	.attach = count_attach,
	.busy = count_busy,
	.detach = count_detach,
	.ctl = count_ctl,
	.submit_bio = count_submit_bio,
};

static int __init count_init(void)
{
	return blkfilter_register(&count_operations);
}

static void __exit count_exit(void)
{
	blkfilter_unregister(&count_operations);
}

module_init(count_init);
module_exit(count_exit);

MODULE_DESCRIPTION("Counts writes, for tests of blkfilter");
MODULE_LICENSE("GPL");
