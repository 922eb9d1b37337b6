/* SPDX-License-Identifier: GPL-2.0 */
/* Machines that go on from a saved state of their memory. */
#ifndef _BLKFILTER_RESTORED_H
#define _BLKFILTER_RESTORED_H

/*
 * From now on tells all filters when the hypervisor says so (vmgenid), and
 * around hibernation. Kernels without CONFIG_VMGENID or CONFIG_HIBERNATION
 * never do. May sleep.
 */
int restored_init(void);
/* Waits until filters that are being told have been. May sleep. */
void restored_exit(void);

#endif /* _BLKFILTER_RESTORED_H */
