/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Flights: writes that may be queued outside a request queue once they are
 * submitted, and whose end a take therefore waits for.
 *
 * A clone of the bio is submitted in its place, and the end of the clone ends
 * the original, as in device-mapper. The original is never modified: drivers
 * above us keep lists in bi_private, and bio_endio() walks chains of bios by
 * their bi_end_io. Drivers below us cannot tell the difference, because
 * device-mapper sends them clones too.
 */
#ifndef _BLKFILTER_FLIGHTS_H
#define _BLKFILTER_FLIGHTS_H

#include <linux/bio.h>
#include <linux/mempool.h>
#include <linux/srcu.h>

struct flight;

/**
 * struct flights - the flights of one disk
 * @under_way: each flight is an SRCU reader from its beginning to its end
 * @pool:      allocates them, with a reserve
 */
struct flights {
	struct srcu_struct under_way;
	mempool_t pool;
};

int flights_module_init(void);
void flights_module_exit(void);

/* ENOMEM. May sleep. */
int flights_init(struct flights *flights);
/* Waits until the last one has ended. May sleep. */
void flights_destroy(struct flights *flights);

/*
 * Allocates a flight for @bio, from the reserve if need be; never sleeps. NULL
 * if there is no memory now. The caller then calls either flight_begin() or
 * flight_cancel(). Any context.
 */
struct flight *flight_alloc(struct flights *flights, struct bio *bio);
void flight_cancel(struct flight *flight);

/* Begins the flight; returns the bio to submit in place of the original. */
struct bio *flight_begin(struct flight *flight);

/* True if @bio is the clone of one of these flights, perhaps after a split. */
bool flights_have(const struct flights *flights, const struct bio *bio);

#endif /* _BLKFILTER_FLIGHTS_H */
