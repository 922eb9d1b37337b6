#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A target of another size is not a copy of this export, nor is one that is
# not there: nothing is touched.
. "$(dirname "$0")/functions.sh"
requires qemu-img qemu-io qemu-nbd sha256sum

qemu-img create -q -f qcow2 source.qcow2 2M
qemu-img bitmap --add source.qcow2 monday
qemu-io -c 'write -P 1 0 2M' source.qcow2 >/dev/null
serve_qemu -r -f qcow2 -B monday source.qcow2

for size in 1M 3M; do
    random_file copy.raw $size
    sha256sum copy.raw >before
    pull 1 --since monday "$qemu_uri" copy.raw
    says err 'bytes, the export has 2097152: not a copy of it'
    sha256sum --quiet -c before
done
pull 1 --since monday "$qemu_uri" nowhere.raw
says err 'No such file or directory'
[ ! -e nowhere.raw ] || fail "a file came to be"
