#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A restore: clients that write to an export with read-write=true, each in its
# own way. What is written is in the file, and holes are holes.
. "$(dirname "$0")/functions.sh"
requires nbdcopy nbdinfo qemu-img qemu-io jq

mv disk.raw new.raw
# Something else everywhere, so that nothing is right by itself.
head -c $size /dev/zero | tr '\0' '\252' >disk.raw
serve read-write=true

nbdinfo --json "$uri" | jq -e '.exports[0] | (.is_read_only | not) and .can_flush
    and .can_fua and .can_trim and .can_zero and .can_multi_conn' >/dev/null ||
    fail "$(nbdinfo "$uri")"
written() {
    cmp disk.raw new.raw || fail "$1: the file is not what was written"
}
sparse() {
    [ "$(du -k disk.raw | cut -f 1)" -lt $((size / 2048)) ] ||
        fail "$1: there are no holes: $(du -k disk.raw)"
}
again() {
    head -c $size /dev/zero | tr '\0' '\252' |
        dd of=disk.raw conv=notrunc bs=1M iflag=fullblock status=none
}

nbdcopy --connections=4 --flush new.raw "$uri"
written nbdcopy
sparse nbdcopy
again
nbdcopy --allocated new.raw "$uri"
written "nbdcopy --allocated"
again
head -c $size new.raw | nbdcopy - "$uri"
written "nbdcopy of a pipe"

again
qemu-img convert -n -f raw -O raw new.raw "$uri"
written "qemu-img convert"
sparse "qemu-img convert"
again
qemu-img convert -f raw -O qcow2 new.raw new.qcow2
qemu-img convert -n -W -m 16 -f qcow2 -O raw new.qcow2 "$uri"
written "qemu-img convert of qcow2"
qemu-img compare -q -f qcow2 -F raw new.qcow2 "$uri" || fail "compare"

# The same by hand: pattern, zeroes with and without a hole, discard; the
# data of the last request has to be there when it is answered (FUA).
commands=(-c 'write -P 17 1M 300k' -c 'aio_write -P 18 3M 1M'
    -c 'aio_write -P 19 2097151 2' -c aio_flush -c 'write -z 8M 1M'
    -c 'write -z -u 17M 300k' -c 'discard 40M 1M' -c flush
    -c 'write -f -P 20 50M 64k')
qemu-io -f raw "${commands[@]}" "$uri" >out 2>&1 || fail "$(cat out)"
! grep -i -e failed -e error out || fail "a request"
PATH=${PATH#"$scratch/clients:"} qemu-io -f raw -d unmap "${commands[@]}" new.raw >out
written qemu-io

# What its siblings do to a range, where this release has them.
if command -v nbdzero >/dev/null && command -v nbddiscard >/dev/null; then
    nbdzero -q -y --offset=1M --length=200K "$uri"
    head -c 200k /dev/zero | dd of=new.raw bs=1k seek=1024 conv=notrunc status=none
    written nbdzero
    nbddiscard -q -y "$uri"
    nbdzero -q -y "$uri"
    cmp disk.raw <(head -c $size /dev/zero) || fail "nbdzero of all of it"
fi
