#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Block status of more than 4 GiB takes several questions.
. "$(dirname "$0")/functions.sh"
requires qemu-img qemu-io qemu-nbd

qemu-img create -q -f qcow2 source.qcow2 9G
qemu-img bitmap --add source.qcow2 monday
qemu-io -c 'write -P 1 4095M 2M' -c 'write -P 2 9215M 1M' source.qcow2 >/dev/null
serve_qemu -r -f qcow2 -B monday source.qcow2
pull 0 "$qemu_uri" copy.raw
qemu-img compare -q -f qcow2 -F raw -U source.qcow2 copy.raw ||
    fail "the copy differs"
says out read_bytes=3145728

truncate -s 0 copy.raw
truncate -s 9G copy.raw
pull 0 --since monday "$qemu_uri" copy.raw
qemu-img compare -q -f qcow2 -F raw -U source.qcow2 copy.raw ||
    fail "the updated copy differs"
says out read_bytes=3145728
