#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# An incremental pull reads what changed, nothing else, and makes the copy
# equal to the source.
. "$(dirname "$0")/functions.sh"
requires qemu-img qemu-io qemu-nbd

qemu-img create -q -f qcow2 source.qcow2 64M
qemu-io -c 'write -P 1 0 32M' source.qcow2 >/dev/null
qemu-img convert -O raw source.qcow2 copy.raw
qemu-img bitmap --add source.qcow2 monday
qemu-io -c 'write -P 2 5M 64k' -c 'write -P 3 40M 2M' -c 'write -P 4 65535k 1k' \
    source.qcow2 >/dev/null
# A byte that is not marked as changed stays as it is in the copy.
printf X | dd of=copy.raw bs=1M seek=20 conv=notrunc status=none

serve_qemu -r -f qcow2 -B monday source.qcow2
pull 0 --since monday "$qemu_uri" copy.raw
[ "$(dd if=copy.raw bs=1M skip=20 count=1 status=none | head -c1)" = X ] ||
    fail "something unchanged was written"
printf '\1' | dd of=copy.raw bs=1M seek=20 conv=notrunc status=none
qemu-img compare -q -f qcow2 -F raw -U source.qcow2 copy.raw ||
    fail "the copy differs"
says out read_bytes=2228224
