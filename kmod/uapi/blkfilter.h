/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * blkfilter: attach a filter to a block device, and talk to it.
 *
 * These ioctls are answered on the file descriptor of the block device itself,
 * opened in any mode, by a caller with CAP_SYS_ADMIN. Numbers and layouts are
 * those of the upstream blksnap proposal; the whole command word is compared,
 * since an older revision of the proposal used the same words otherwise.
 *
 * Errors of all three: EFAULT (bad pointer), EPERM (no CAP_SYS_ADMIN).
 */
#ifndef _UAPI_BLKFILTER_H
#define _UAPI_BLKFILTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Bytes of a filter's name, the final NUL included. */
#define BLKFILTER_NAME_LENGTH 32

/**
 * struct blkfilter_attach - argument of BLKFILTER_ATTACH
 * @name:   filter to attach, NUL-terminated
 * @opt:    user pointer to options of that filter; blksnap takes none
 * @optlen: bytes at @opt
 *
 * ENOENT no such filter; EALREADY this filter is attached already; EBUSY
 * another filter is; ENODEV the disk is gone; EOPNOTSUPP a zoned device, or a
 * kernel whose changes do not come by the hooks (the kernel's log says so);
 * EINVAL @name is not NUL-terminated; ETIMEDOUT, EINTR writes that had begun
 * before did not end (of disks that are not request-based).
 */
struct blkfilter_attach {
	__u8 name[BLKFILTER_NAME_LENGTH];
	__u64 opt;
	__u32 optlen;
	__u32 reserved;
};

/**
 * struct blkfilter_detach - argument of BLKFILTER_DETACH
 * @name: filter to detach, NUL-terminated
 *
 * ENOENT nothing is attached; EINVAL another filter is; EBUSY the filter
 * cannot go now (blksnap: the device is in a snapshot, or a take still waits
 * for it).
 */
struct blkfilter_detach {
	__u8 name[BLKFILTER_NAME_LENGTH];
};

/**
 * struct blkfilter_ctl - argument of BLKFILTER_CTL
 * @name:   filter that is addressed, NUL-terminated
 * @cmd:    command of that filter
 * @optlen: bytes at @opt; a filter writes back how many it used
 * @opt:    user pointer to the command's own structure
 *
 * ENOENT nothing is attached; EINVAL another filter is, or @optlen is too
 * small; ENOTTY unknown @cmd; and what the command says.
 */
struct blkfilter_ctl {
	__u8 name[BLKFILTER_NAME_LENGTH];
	__u32 cmd;
	__u32 optlen;
	__u64 opt;
};

#define BLKFILTER_ATTACH _IOWR(0x12, 142, struct blkfilter_attach)
#define BLKFILTER_DETACH _IOWR(0x12, 143, struct blkfilter_detach)
#define BLKFILTER_CTL _IOWR(0x12, 144, struct blkfilter_ctl)

#endif /* _UAPI_BLKFILTER_H */
