/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gate of a take: keeps writes while the devices of a snapshot are flipped
 * together, and submits them afterwards. Writers do not sleep, so that it works
 * for nested and NOWAIT bios too.
 */
#ifndef _BLKSNAP_GATE_H
#define _BLKSNAP_GATE_H

#include <linux/bio.h>
#include <linux/spinlock.h>

struct gate {
	spinlock_t lock; /* innermost */
	bool closed;
	struct bio_list bios;
};

void gate_init(struct gate *gate);
void gate_close(struct gate *gate);

/* Returns true if the gate is closed and has taken @bio over. */
bool gate_hold(struct gate *gate, struct bio *bio);

/*
 * Opens the gate and has the bios that it kept submitted, by one worker for
 * each disk: a disk that hangs does not delay the others. Not in interrupts.
 */
void gate_open(struct gate *gate);

#endif /* _BLKSNAP_GATE_H */
