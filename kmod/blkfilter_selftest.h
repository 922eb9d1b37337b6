/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A test of the hooks on the running kernel. ftrace hooks a symbol: a copy of
 * the function that the compiler has inlined or cloned, or that a live patch
 * brings, is not hooked, and the changes that pass through it would be missed
 * in silence.
 */
#ifndef _BLKFILTER_SELFTEST_H
#define _BLKFILTER_SELFTEST_H

/*
 * Tests the hooks of the bio path, unless they have been tested since they were
 * placed. Call it while a disk has a filter, so that they stay. EOPNOTSUPP, and
 * a sentence in the log, if a filter would miss changes; ENOMEM; ETIMEDOUT.
 * Callers exclude each other. May sleep.
 */
int selftest_hooks(void);

#endif /* _BLKFILTER_SELFTEST_H */
