#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# To a block device that is large enough and not in use.
. "$(dirname "$0")/functions.sh"
requires losetup

new_disk $((8 << 20))
serve
blksnap 0 backup "$uri" --to repo
head -c 9M /dev/urandom >backing
device=$(losetup --find --show backing 2>/dev/null) || skip "no loop devices"
trap 'losetup -d "$device"; cleanup' EXIT
blksnap 0 restore repo --to "$device"
cmp <(head -c 8M "$device") disk.raw

python3 -c 'import os, sys, time
os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)
open("held", "w")
time.sleep(60)' "$device" &
servers+=("$!")
wait_for test -e held
blksnap 1 restore repo --to "$device"
says err 'Device or resource busy'
kill "${servers[-1]}"
wait "${servers[-1]}" || :
losetup -d "$device"
truncate -s 7M backing
device=$(losetup --find --show backing)
blksnap 1 restore repo --to "$device"
says err 'bytes, the export has 8388608'
