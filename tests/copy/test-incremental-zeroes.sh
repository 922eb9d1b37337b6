#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What changed to zeroes is not read, and becomes a hole in the copy.
. "$(dirname "$0")/functions.sh"
requires qemu-img qemu-io qemu-nbd

qemu-img create -q -f qcow2 source.qcow2 16M
qemu-io -c 'write -P 1 0 16M' source.qcow2 >/dev/null
qemu-img convert -O raw source.qcow2 copy.raw
qemu-img bitmap --add source.qcow2 monday
qemu-io -c 'write -z 0 8M' -c 'discard 12M 1M' source.qcow2 >/dev/null

serve_qemu -r -f qcow2 -B monday source.qcow2
pull 0 --since monday "$qemu_uri" copy.raw
qemu-img compare -q -f qcow2 -F raw -U source.qcow2 copy.raw ||
    fail "the copy differs"
says out read_bytes=0
says out zeroed_bytes=9437184
[ "$(du -k copy.raw | cut -f1)" -le 7400 ] || fail "no holes were punched"

# The same for programs to read.
requires jq
pull 0 --json --since monday "$qemu_uri" copy.raw
[ "$(jq -c '[.device_bytes, .read_bytes, .zeroed_bytes]' out)" = \
    '[16777216,0,9437184]' ] || fail "$(cat out)"
