/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which passthrough commands leave the data of a disk as it is.
 *
 * Each function returns true for the commands that it knows to be harmless.
 * All others, unknown and vendor-specific ones too, may change data.
 */
#ifndef _BLKFILTER_PASSTHROUGH_H
#define _BLKFILTER_PASSTHROUGH_H

#include <linux/types.h>

/*
 * @cdb is the command descriptor block, 32 bytes (SPC-5, SBC-4; SAT-4 describes
 * the ATA commands in it). @sct_action is the action code in the data of an ATA
 * command that writes the SCT command log, or -1 if it is not known.
 */
bool scsi_command_is_harmless(const u8 *cdb, int sct_action);

/* NVMe base specification 2.0, figures 138 and 390. */
bool nvme_admin_command_is_harmless(u8 opcode);
bool nvme_io_command_is_harmless(u8 opcode);

#endif /* _BLKFILTER_PASSTHROUGH_H */
