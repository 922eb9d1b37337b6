/* SPDX-License-Identifier: GPL-2.0 */
/* Virtual machines that are put back to a saved state, or copied. */
#ifndef _BLKFILTER_VMFORK_H
#define _BLKFILTER_VMFORK_H

/*
 * From now on tells all filters when the hypervisor says so (vmgenid). Does
 * nothing on kernels without CONFIG_VMGENID.
 */
int vmfork_init(void);
/* Waits until filters that are being told have been. May sleep. */
void vmfork_exit(void);

#endif /* _BLKFILTER_VMFORK_H */
