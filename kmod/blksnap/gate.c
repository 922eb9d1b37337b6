// SPDX-License-Identifier: GPL-2.0
#include "blkfilter.h"
#include "gate.h"

void gate_init(struct gate *gate)
{
	spin_lock_init(&gate->lock);
	bio_list_init(&gate->bios);
	gate->closed = false;
}

void gate_close(struct gate *gate)
{
	spin_lock_irq(&gate->lock);
	gate->closed = true;
	spin_unlock_irq(&gate->lock);
}

bool gate_hold(struct gate *gate, struct bio *bio)
{
	unsigned long flags;
	bool held;

	spin_lock_irqsave(&gate->lock, flags);
	held = gate->closed;
	if (held)
		bio_list_add(&gate->bios, bio);
	spin_unlock_irqrestore(&gate->lock, flags);
	return held;
}

void gate_open(struct gate *gate)
{
	struct bio_list bios;
	struct bio *bio;

	spin_lock_irq(&gate->lock);
	gate->closed = false;
	bios = gate->bios;
	bio_list_init(&gate->bios);
	spin_unlock_irq(&gate->lock);
	while ((bio = bio_list_pop(&bios)))
		blkfilter_requeue(bio);
}
