#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A block device as the target: larger than the export is fine, smaller is not,
# and nothing in use is written to.
. "$(dirname "$0")/functions.sh"
requires nbdkit losetup python3 qemu-img qemu-io qemu-nbd

random_file disk 16M
device=$(losetup --find --show disk 2>/dev/null) || {
    echo "skipped: no loop devices here"
    exit 77
}
trap 'losetup -d "$device"; cleanup' EXIT

qemu-img create -q -f qcow2 source.qcow2 8M
qemu-io -c 'write -P 1 1M 1M' source.qcow2 >/dev/null
qemu-img bitmap --add source.qcow2 monday
serve_qemu -r -f qcow2 source.qcow2
cp disk before
pull 0 "$qemu_uri" "$device"
cmp <(head -c 8M disk) <(qemu-img dd -U -f qcow2 -O raw if=source.qcow2 of=flat bs=1M && cat flat)
cmp <(tail -c 8M disk) <(tail -c 8M before)
stop

qemu-io -c 'write -z 1M 64k' -c 'write -P 3 7M 1M' source.qcow2 >/dev/null
serve_qemu -r -f qcow2 -B monday source.qcow2
pull 0 --since monday "$qemu_uri" "$device"
rm flat
cmp <(head -c 8M disk) <(qemu-img dd -U -f qcow2 -O raw if=source.qcow2 of=flat bs=1M && cat flat)
stop

python3 -c 'import os, sys, time
os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)
open("held", "w")
time.sleep(60)' "$device" &
servers+=("$!")
until [ -e held ]; do sleep 0.05; done
serve_nbdkit memory 8M
pull 1 "$nbdkit_uri" "$device"
says err 'Device or resource busy'
kill "${servers[0]}"
wait "${servers[0]}" || :
rm nbdkit.sock

serve_nbdkit memory 17M
pull 1 "$nbdkit_uri" "$device"
says err 'bytes, the export has 17825792'
