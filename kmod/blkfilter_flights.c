// SPDX-License-Identifier: GPL-2.0
#include <linux/blkdev.h>
#include <linux/slab.h>

#include "blkfilter_flights.h"
#include "blkfilter_hook.h"

/* Flights per disk that need no free memory. */
#define FLIGHT_RESERVE 16

struct flight {
	struct flights *flights;
	int idx; /* of flights->under_way */
	struct bio *original;
	struct bio clone;
};

static struct kmem_cache *flight_cache;

static void free_flight(struct flight *flight)
{
	bio_uninit(&flight->clone);
	mempool_free(flight, &flight->flights->pool);
}

static void flight_ended(struct bio *clone)
{
	struct flight *flight = container_of(clone, struct flight, clone);
	struct flights *flights = flight->flights;
	struct bio *original = flight->original;
	int idx = flight->idx;

	this_cpu_inc(calls_inside);
	if (clone->bi_status)
		original->bi_status = clone->bi_status;
	free_flight(flight);
	/* After this unlock flights_destroy() may free the pool. */
	__srcu_read_unlock(&flights->under_way, idx);
	bio_endio(original);
	barrier();
	this_cpu_dec(calls_inside);
}

/*
 * bio_init_clone() with a device would look the block cgroup up twice, and it
 * does not copy the flags that say how far the block layer got with the
 * original.
 */
static int clone_bio(struct bio *clone, struct bio *bio)
{
	const unsigned short kept =
		1U << BIO_REMAPPED | 1U << BIO_BPS_THROTTLED;
	int ret = bio_init_clone(NULL, clone, bio, GFP_NOWAIT | __GFP_NOWARN);

	if (ret)
		return ret;
	clone->bi_bdev = bio->bi_bdev;
	clone->bi_flags |= bio->bi_flags & kept;
	bio_clone_blkg_association(clone, bio);
	/* The submitter polls the original, which is in no queue. */
	bio_clear_polled(clone);
	clone->bi_end_io = flight_ended;
	return 0;
}

struct flight *flight_alloc(struct flights *flights, struct bio *bio)
{
	struct flight *flight =
		mempool_alloc(&flights->pool, GFP_NOWAIT | __GFP_NOWARN);

	if (!flight)
		return NULL;
	if (clone_bio(&flight->clone, bio)) {
		mempool_free(flight, &flights->pool);
		return NULL;
	}
	flight->flights = flights;
	flight->original = bio;
	return flight;
}

void flight_cancel(struct flight *flight)
{
	free_flight(flight);
}

struct bio *flight_begin(struct flight *flight)
{
	flight->idx = __srcu_read_lock(&flight->flights->under_way);
	return &flight->clone;
}

bool flights_have(const struct flights *flights, const struct bio *bio)
{
	return bio->bi_end_io == flight_ended &&
	       container_of(bio, struct flight, clone)->flights == flights;
}

int flights_init(struct flights *flights)
{
	int ret = init_srcu_struct(&flights->under_way);

	if (ret)
		return ret;
	ret = mempool_init_slab_pool(&flights->pool, FLIGHT_RESERVE,
				     flight_cache);
	if (ret)
		cleanup_srcu_struct(&flights->under_way);
	return ret;
}

void flights_destroy(struct flights *flights)
{
	synchronize_srcu(&flights->under_way);
	/* Callbacks of drains that timed out. */
	srcu_barrier(&flights->under_way);
	cleanup_srcu_struct(&flights->under_way);
	mempool_exit(&flights->pool);
}

int flights_module_init(void)
{
	flight_cache = KMEM_CACHE(flight, 0);
	return flight_cache ? 0 : -ENOMEM;
}

void flights_module_exit(void)
{
	kmem_cache_destroy(flight_cache);
}
