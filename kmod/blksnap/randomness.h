/* SPDX-License-Identifier: GPL-2.0 */
/* Numbers that no other run of this machine has, restored ones included. */
#ifndef _BLKSNAP_RANDOMNESS_H
#define _BLKSNAP_RANDOMNESS_H

#include <linux/types.h>
#include <linux/uuid.h>

/* Returns 64 random bits, never 0. Does not sleep. */
u64 fresh_random(void);

/* Fills in a random UUID. Does not sleep. */
void fresh_uuid(uuid_t *id);

#endif /* _BLKSNAP_RANDOMNESS_H */
