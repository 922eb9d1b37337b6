#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A full copy has the bytes of the source, reads no holes, and keeps them.
. "$(dirname "$0")/functions.sh"
requires qemu-img qemu-io qemu-nbd

qemu-img create -q -f qcow2 source.qcow2 64M
qemu-io -c 'write -P 1 0 3M' -c 'write -P 2 10M 64k' -c 'write -P 3 63M 1M' \
    source.qcow2 >/dev/null
serve_qemu -r -f qcow2 source.qcow2

pull 0 "$qemu_uri" copy.raw
qemu-img compare -q -f qcow2 -F raw -U source.qcow2 copy.raw ||
    fail "the copy differs"
[ "$(stat -c %s copy.raw)" -eq $((64 << 20)) ] || fail "size of the copy"
printf '%s\n' device_bytes=67108864 read_bytes=4259840 zeroed_bytes=62849024 |
    diff - out
[ "$(du -k copy.raw | cut -f1)" -le 4200 ] || fail "the copy is not sparse"
[ "$(stat -c %a copy.raw)" = 600 ] || fail "others may read the copy"
