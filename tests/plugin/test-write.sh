#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Clients may write where read-write=true says so, and nowhere else.
. "$(dirname "$0")/functions.sh"
requires nbdcopy cmp qemu-io

head -c 4M /dev/urandom >new.raw
truncate -s 4M disk.raw
serve "$PLUGIN" file=disk.raw
! nbdcopy new.raw "$(uri)" 2>err || fail "it was written to"
stop

serve "$PLUGIN" file=disk.raw read-write=true
nbdcopy --flush new.raw "$(uri)"
cmp new.raw disk.raw
qemu-io -f raw -c 'write -z -u 0 64k' -c 'discard 128k 64k' \
    -c 'write -f -P 5 256k 64k' -c flush "$(uri)" >out
for at in 0 2; do
    dd if=/dev/zero of=new.raw bs=64k seek=$at count=1 conv=notrunc status=none
done
head -c 64k /dev/zero | tr '\0' '\5' |
    dd of=new.raw bs=64k seek=4 conv=notrunc status=none
cmp new.raw disk.raw
[ "$(du -k disk.raw | cut -f1)" -lt 4096 ] || fail "no hole was punched"
