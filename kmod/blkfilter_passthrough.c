// SPDX-License-Identifier: GPL-2.0
#include <linux/ata.h>
#include <linux/nvme.h>
#include <scsi/scsi_proto.h>

#include "blkfilter_passthrough.h"

/* Not in the kernel's headers. */
#define SCSI_GET_CONFIGURATION 0x46
#define SCSI_READ_DISC_INFORMATION 0x51
#define SCSI_PRE_FETCH_16 0x90
#define ATA_SMART_WRITE_LOG_SUBCMD 0xd6
#define ATA_SCT_COMMAND_LOG 0xe0
#define NVME_IO_MGMT_RECV 0x12
#define NVME_IO_MGMT_SEND 0x1d

/* SCT action codes (ACS-4, 8.3). */
enum {
	SCT_ERROR_RECOVERY_CONTROL = 3,
	SCT_FEATURE_CONTROL = 4,
	SCT_DATA_TABLES = 5,
};

/* ---- ATA, inside of SCSI ---- */

/* The registers of a command that ATA PASS-THROUGH carries (SAT-4, 12.2). */
struct ata_registers {
	u8 command;
	u8 features;
	u8 lba_low;
};

static bool sct_action_is_harmless(int action)
{
	return action == SCT_ERROR_RECOVERY_CONTROL ||
	       action == SCT_FEATURE_CONTROL || action == SCT_DATA_TABLES;
}

static bool log_write_is_harmless(u8 log, int sct_action)
{
	return log != ATA_SCT_COMMAND_LOG || sct_action_is_harmless(sct_action);
}

static bool ata_command_is_harmless(const struct ata_registers *ata,
				    int sct_action)
{
	switch (ata->command) {
	case ATA_CMD_CHK_POWER:
	case ATA_CMD_EDD:
	case ATA_CMD_FLUSH:
	case ATA_CMD_FLUSH_EXT:
	case ATA_CMD_FPDMA_READ:
	case ATA_CMD_ID_ATA:
	case ATA_CMD_ID_ATAPI:
	case ATA_CMD_IDLE:
	case ATA_CMD_IDLEIMMEDIATE:
	case ATA_CMD_PIO_READ:
	case ATA_CMD_PIO_READ_EXT:
	case ATA_CMD_PMP_READ:
	case ATA_CMD_READ:
	case ATA_CMD_READ_EXT:
	case ATA_CMD_READ_LOG_DMA_EXT:
	case ATA_CMD_READ_LOG_EXT:
	case ATA_CMD_READ_MULTI:
	case ATA_CMD_READ_MULTI_EXT:
	case ATA_CMD_READ_NATIVE_MAX:
	case ATA_CMD_READ_NATIVE_MAX_EXT:
	case ATA_CMD_SEC_FREEZE_LOCK:
	case ATA_CMD_SEC_UNLOCK:
	case ATA_CMD_SET_FEATURES:
	case ATA_CMD_SET_MULTI:
	case ATA_CMD_SLEEP:
	case ATA_CMD_STANDBY:
	case ATA_CMD_STANDBYNOW1:
	case ATA_CMD_TRUSTED_RCV:
	case ATA_CMD_TRUSTED_RCV_DMA:
	case ATA_CMD_VERIFY:
	case ATA_CMD_VERIFY_EXT:
		return true;
	case ATA_CMD_SMART:
		return ata->features != ATA_SMART_WRITE_LOG_SUBCMD ||
		       log_write_is_harmless(ata->lba_low, sct_action);
	case ATA_CMD_WRITE_LOG_EXT:
	case ATA_CMD_WRITE_LOG_DMA_EXT:
		return log_write_is_harmless(ata->lba_low, sct_action);
	default:
		return false;
	}
}

static struct ata_registers ata_12(const u8 *cdb)
{
	return (struct ata_registers){
		.features = cdb[3],
		.lba_low = cdb[5],
		.command = cdb[9],
	};
}

static struct ata_registers ata_16(const u8 *cdb)
{
	return (struct ata_registers){
		.features = cdb[4],
		.lba_low = cdb[8],
		.command = cdb[14],
	};
}

/* ---- SCSI ---- */

/* The service action of a command of variable length. */
static unsigned int variable_length_action(const u8 *cdb)
{
	return cdb[8] << 8 | cdb[9];
}

bool scsi_command_is_harmless(const u8 *cdb, int sct_action)
{
	struct ata_registers ata;

	switch (cdb[0]) {
	case ALLOW_MEDIUM_REMOVAL:
	case GET_EVENT_STATUS_NOTIFICATION:
	case INQUIRY:
	case LOG_SELECT:
	case LOG_SENSE:
	case MAINTENANCE_IN:
	case MAINTENANCE_OUT:
	case MODE_SELECT:
	case MODE_SELECT_10:
	case MODE_SENSE:
	case MODE_SENSE_10:
	case PERSISTENT_RESERVE_IN:
	case PERSISTENT_RESERVE_OUT:
	case PRE_FETCH:
	case READ_10:
	case READ_12:
	case READ_16:
	case READ_6:
	case READ_BUFFER:
	case READ_CAPACITY:
	case READ_DEFECT_DATA:
	case READ_TOC:
	case RECEIVE_COPY_RESULTS:
	case RECEIVE_DIAGNOSTIC:
	case RELEASE:
	case RELEASE_10:
	case REPORT_LUNS:
	case REQUEST_SENSE:
	case RESERVE:
	case RESERVE_10:
	case SCSI_GET_CONFIGURATION:
	case SCSI_PRE_FETCH_16:
	case SCSI_READ_DISC_INFORMATION:
	case SECURITY_PROTOCOL_IN:
	case SEND_DIAGNOSTIC:
	case SERVICE_ACTION_IN_12:
	case SERVICE_ACTION_IN_16:
	case START_STOP:
	case SYNCHRONIZE_CACHE:
	case SYNCHRONIZE_CACHE_16:
	case TEST_UNIT_READY:
	case VERIFY:
	case VERIFY_12:
	case VERIFY_16:
	case WRITE_BUFFER:
	case ZBC_IN:
		return true;
	case ATA_12:
		ata = ata_12(cdb);
		return ata_command_is_harmless(&ata, sct_action);
	case ATA_16:
		ata = ata_16(cdb);
		return ata_command_is_harmless(&ata, sct_action);
	case VARIABLE_LENGTH_CMD:
		return variable_length_action(cdb) == READ_32;
	default:
		return false;
	}
}

/* ---- NVMe ---- */

#define NVME_FIRST_VENDOR_ADMIN 0xc0
#define NVME_FIRST_VENDOR_IO 0x80

/* Bits 1:0 of an opcode: 2 transfers data from the controller, and no other. */
static bool only_returns_data(u8 opcode)
{
	return (opcode & 3) == 2;
}

bool nvme_admin_command_is_harmless(u8 opcode)
{
	switch (opcode) {
	case nvme_admin_delete_sq:
	case nvme_admin_create_sq:
	case nvme_admin_get_log_page:
	case nvme_admin_delete_cq:
	case nvme_admin_create_cq:
	case nvme_admin_identify:
	case nvme_admin_abort_cmd:
	case nvme_admin_set_features:
	case nvme_admin_get_features:
	case nvme_admin_async_event:
	case nvme_admin_activate_fw:
	case nvme_admin_download_fw:
	case nvme_admin_dev_self_test:
	case nvme_admin_keep_alive:
	case nvme_admin_directive_send:
	case nvme_admin_directive_recv:
	case nvme_admin_virtual_mgmt:
	case nvme_admin_nvme_mi_send:
	case nvme_admin_nvme_mi_recv:
	case nvme_admin_dbbuf:
	case nvme_fabrics_command:
	case nvme_admin_security_recv:
	case nvme_admin_get_lba_status:
		return true;
	default:
		return opcode >= NVME_FIRST_VENDOR_ADMIN &&
		       only_returns_data(opcode);
	}
}

bool nvme_io_command_is_harmless(u8 opcode)
{
	switch (opcode) {
	case nvme_cmd_flush:
	case nvme_cmd_read:
	case nvme_cmd_compare:
	case nvme_cmd_verify:
	case nvme_cmd_resv_register:
	case nvme_cmd_resv_report:
	case nvme_cmd_resv_acquire:
	case nvme_cmd_resv_release:
	case nvme_cmd_zone_mgmt_recv:
	case NVME_IO_MGMT_RECV:
	case NVME_IO_MGMT_SEND:
	case nvme_fabrics_command:
		return true;
	default:
		return opcode >= NVME_FIRST_VENDOR_IO &&
		       only_returns_data(opcode);
	}
}
