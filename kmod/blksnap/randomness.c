// SPDX-License-Identifier: GPL-2.0
/*
 * Two machines restored from one saved state draw the same numbers from the
 * kernel: its generator was saved with them, and mixes in something new once a
 * minute, or when vmgenid announces the restore. So the kernel's numbers are
 * the key of a hash of
 *
 *   - RDSEED or RDRAND, which have no saved state: enough by themselves;
 *   - clocks. They go on from their saved values, so that only the time since
 *     the restore differs, until a time service sets CLOCK_REALTIME;
 *   - cycles that reading the clock takes, again and again.
 *
 * Without RDSEED and RDRAND, two restored machines get the same number if all
 * they did until then took the same number of cycles: unlikely, but possible.
 */
#include <linux/random.h>
#include <linux/siphash.h>
#include <linux/string.h>
#include <linux/ktime.h>
#include <linux/timex.h>

#include <asm/archrandom.h>

#include "randomness.h"

/* A few microseconds. Cache misses and interrupts make them longer. */
#define READINGS 64

struct sources {
	unsigned long processor[2];
	u64 wall_clock;
	u64 uptime;
	u64 cycles[READINGS];
};

static unsigned long ask_processor(void)
{
	unsigned long bits = 0;

	if (arch_get_random_seed_longs(&bits, 1) ||
	    arch_get_random_longs(&bits, 1))
		return bits;
	return 0;
}

u64 fresh_random(void)
{
	struct sources sources;
	siphash_key_t key;
	unsigned int i;

	get_random_bytes(&key, sizeof(key));
	for (i = 0; i < ARRAY_SIZE(sources.processor); i++)
		sources.processor[i] = ask_processor();
	sources.wall_clock = ktime_get_real_ns();
	sources.uptime = ktime_get_ns();
	for (i = 0; i < READINGS; i++)
		sources.cycles[i] = random_get_entropy();
	return siphash(&sources, sizeof(sources), &key) ?: 1;
}

void fresh_uuid(uuid_t *id)
{
	u64 halves[2] = {fresh_random(), fresh_random()};

	BUILD_BUG_ON(sizeof(halves) != sizeof(id->b));
	memcpy(id->b, halves, sizeof(id->b));
	/* Version 4, variant DCE 1.1, as uuid_gen() does. */
	id->b[6] = (id->b[6] & 0x0f) | 0x40;
	id->b[8] = (id->b[8] & 0x3f) | 0x80;
}
