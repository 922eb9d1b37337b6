/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sizes, places and command words of the kernel interface, as numbers. They
 * were worked out by hand: a word is direction << 30 | size << 16 | type << 8
 * | number, where direction is 1 for _IOW, 2 for _IOR and 3 for _IOWR. Programs
 * made for other implementations use these numbers, so none may ever change.
 */
#include "../../kmod/uapi/blkfilter.h"
#include "../../kmod/uapi/blksnap.h"

#include <stddef.h>

#ifdef __cplusplus
#define CHECK(fact) static_assert(fact, #fact)
#else
#define CHECK(fact) _Static_assert(fact, #fact)
#endif
#define SIZE(type, bytes) CHECK(sizeof(struct type) == (bytes))
#define AT(type, field, offset) CHECK(offsetof(struct type, field) == (offset))

SIZE(blkfilter_attach, 48);
AT(blkfilter_attach, name, 0);
AT(blkfilter_attach, opt, 32);
AT(blkfilter_attach, optlen, 40);
CHECK(BLKFILTER_ATTACH == 0xC030128E);

SIZE(blkfilter_detach, 32);
AT(blkfilter_detach, name, 0);
CHECK(BLKFILTER_DETACH == 0xC020128F);

SIZE(blkfilter_ctl, 48);
AT(blkfilter_ctl, name, 0);
AT(blkfilter_ctl, cmd, 32);
AT(blkfilter_ctl, optlen, 36);
AT(blkfilter_ctl, opt, 40);
CHECK(BLKFILTER_CTL == 0xC0301290);

CHECK(BLKFILTER_NAME_LENGTH == 32);
CHECK(sizeof(BLKSNAP_FILTER_NAME) == 8);
CHECK(sizeof(BLKSNAP_CONTROL_NAME) == 16);

CHECK(BLKFILTER_CTL_BLKSNAP_CBTINFO == 0);
SIZE(blksnap_cbtinfo, 40);
AT(blksnap_cbtinfo, device_capacity, 0);
AT(blksnap_cbtinfo, block_size, 8);
AT(blksnap_cbtinfo, block_count, 12);
AT(blksnap_cbtinfo, generation_id, 16);
AT(blksnap_cbtinfo, changes_number, 32);

CHECK(BLKFILTER_CTL_BLKSNAP_CBTMAP == 1);
SIZE(blksnap_cbtmap, 16);
AT(blksnap_cbtmap, offset, 0);
AT(blksnap_cbtmap, length, 4);
AT(blksnap_cbtmap, buffer, 8);

CHECK(BLKFILTER_CTL_BLKSNAP_CBTDIRTY == 2);
SIZE(blksnap_sectors, 16);
AT(blksnap_sectors, offset, 0);
AT(blksnap_sectors, count, 8);
SIZE(blksnap_cbtdirty, 16);
AT(blksnap_cbtdirty, count, 0);
AT(blksnap_cbtdirty, ranges, 8);

CHECK(BLKFILTER_CTL_BLKSNAP_SNAPSHOTADD == 3);
SIZE(blksnap_uuid, 16);
SIZE(blksnap_snapshotadd, 16);

CHECK(BLKFILTER_CTL_BLKSNAP_CBTDISCARDS == 128);
CHECK(BLKFILTER_CTL_BLKSNAP_CBTINSTANTS == 129);
CHECK(BLKSNAP_TAKES_MAX == 254);
SIZE(blksnap_instant, 16);
AT(blksnap_instant, id, 0);
AT(blksnap_instant, time, 8);
SIZE(blksnap_cbtinstants, 4088);
AT(blksnap_cbtinstants, generation_id, 0);
AT(blksnap_cbtinstants, changes_number, 16);
AT(blksnap_cbtinstants, instants, 24);
CHECK(BLKFILTER_CTL_BLKSNAP_SNAPSHOTQUIESCED == 130);
SIZE(blksnap_quiesced, 8);
AT(blksnap_quiesced, how, 0);
CHECK(BLKSNAP_QUIESCED_UNKNOWN == 0);
CHECK(BLKSNAP_QUIESCED_NOTHING == 3);
CHECK(BLKFILTER_CTL_BLKSNAP_SNAPSHOTINFO == 4);
CHECK(BLKSNAP_IMAGE_NAME_LENGTH == 32);
SIZE(blksnap_snapshotinfo, 36);
AT(blksnap_snapshotinfo, error_code, 0);
AT(blksnap_snapshotinfo, image, 4);

SIZE(blksnap_version, 8);
AT(blksnap_version, major, 0);
AT(blksnap_version, minor, 2);
AT(blksnap_version, revision, 4);
AT(blksnap_version, build, 6);
CHECK(BLKSNAP_IOCTL_VERSION == 0x80085600);

SIZE(blksnap_snapshot_create, 32);
AT(blksnap_snapshot_create, diff_storage_limit_sect, 0);
AT(blksnap_snapshot_create, diff_storage_filename, 8);
AT(blksnap_snapshot_create, id, 16);
CHECK(BLKSNAP_IOCTL_SNAPSHOT_CREATE == 0xC0205601);
CHECK(BLKSNAP_IOCTL_SNAPSHOT_DESTROY == 0x40105602);
CHECK(BLKSNAP_IOCTL_SNAPSHOT_TAKE == 0x40105603);
SIZE(blksnap_snapshot_take, 24);
AT(blksnap_snapshot_take, id, 0);
AT(blksnap_snapshot_take, flags, 16);
CHECK(BLKSNAP_IOCTL_SNAPSHOT_TAKE_FLAGS == 0x40185682);
CHECK(BLKSNAP_TAKE_READ_ONLY == 1);

SIZE(blksnap_snapshot_collect, 16);
AT(blksnap_snapshot_collect, count, 0);
AT(blksnap_snapshot_collect, ids, 8);
CHECK(BLKSNAP_IOCTL_SNAPSHOT_COLLECT == 0x80105604);

SIZE(blksnap_snapshot_event, 4096);
AT(blksnap_snapshot_event, id, 0);
AT(blksnap_snapshot_event, timeout_ms, 16);
AT(blksnap_snapshot_event, code, 20);
AT(blksnap_snapshot_event, time_label, 24);
AT(blksnap_snapshot_event, data, 32);
CHECK(BLKSNAP_IOCTL_SNAPSHOT_WAIT_EVENT == 0x90005605);

CHECK(BLKSNAP_EVENT_CODE_CORRUPTED == 0);
SIZE(blksnap_event_corrupted, 12);
AT(blksnap_event_corrupted, dev_id_mj, 0);
AT(blksnap_event_corrupted, dev_id_mn, 4);
AT(blksnap_event_corrupted, err_code, 8);
CHECK(BLKSNAP_EVENT_CODE_NO_SPACE == 1);
SIZE(blksnap_event_no_space, 8);
