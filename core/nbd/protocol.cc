// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/protocol.h"

namespace blksnap::nbd {

std::string_view name_of_headers(Headers headers) {
  switch (headers) {
    case Headers::kSimple:
      return "simple replies";
    case Headers::kStructured:
      return "structured replies";
    case Headers::kExtended:
      return "extended headers";
  }
  return "unknown";
}

std::string_view name_of_option(std::uint32_t option) {
  switch (option) {
    case NBD_OPT_EXPORT_NAME:
      return "NBD_OPT_EXPORT_NAME";
    case NBD_OPT_ABORT:
      return "NBD_OPT_ABORT";
    case NBD_OPT_LIST:
      return "NBD_OPT_LIST";
    case NBD_OPT_STARTTLS:
      return "NBD_OPT_STARTTLS";
    case NBD_OPT_INFO:
      return "NBD_OPT_INFO";
    case NBD_OPT_GO:
      return "NBD_OPT_GO";
    case NBD_OPT_STRUCTURED_REPLY:
      return "NBD_OPT_STRUCTURED_REPLY";
    case NBD_OPT_LIST_META_CONTEXT:
      return "NBD_OPT_LIST_META_CONTEXT";
    case NBD_OPT_SET_META_CONTEXT:
      return "NBD_OPT_SET_META_CONTEXT";
    case NBD_OPT_EXTENDED_HEADERS:
      return "NBD_OPT_EXTENDED_HEADERS";
    default:
      return "unknown";
  }
}

std::string_view name_of_command(std::uint16_t command) {
  switch (command) {
    case NBD_CMD_READ:
      return "NBD_CMD_READ";
    case NBD_CMD_WRITE:
      return "NBD_CMD_WRITE";
    case NBD_CMD_DISC:
      return "NBD_CMD_DISC";
    case NBD_CMD_FLUSH:
      return "NBD_CMD_FLUSH";
    case NBD_CMD_TRIM:
      return "NBD_CMD_TRIM";
    case NBD_CMD_CACHE:
      return "NBD_CMD_CACHE";
    case NBD_CMD_WRITE_ZEROES:
      return "NBD_CMD_WRITE_ZEROES";
    case NBD_CMD_BLOCK_STATUS:
      return "NBD_CMD_BLOCK_STATUS";
    default:
      return "unknown";
  }
}

}  // namespace blksnap::nbd
