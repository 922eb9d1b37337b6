#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A plain file: its bytes, its holes, its names.
. "$(dirname "$0")/functions.sh"
requires nbdcopy cmp

head -c 1M /dev/urandom >disk.raw
truncate -s 64M disk.raw
serve "$PLUGIN" file=disk.raw

nbdcopy "$(uri)" copy.raw
cmp disk.raw copy.raw
nbdinfo --map "$(uri)" >map
says map '1048576    66060288    3  hole,zero'
nbdinfo --list "$(uri)" >out
says out 'export="disk.raw"'
says out 'export-size: 67108864'
says out 'is_read_only: true'
says out 'can_multi_conn: true'
# The default export has the name of the only device.
nbdinfo --size "$(uri disk.raw)" >/dev/null
! nbdinfo --size "$(uri other)" 2>err || fail "another name is served"
stop

serve "$PLUGIN" file=disk.raw name=root
nbdinfo --size "$(uri root)" >/dev/null
