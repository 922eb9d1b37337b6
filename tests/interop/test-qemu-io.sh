#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qemu-io: reads of any alignment, many at once, and no writes.
. "$(dirname "$0")/functions.sh"
requires qemu-io
head -c 262144 /dev/zero | tr '\0' '\132' |
    dd of=disk.raw bs=1M seek=5 conv=notrunc iflag=fullblock status=none
serve

at=$((5 << 20))
reads=()
for ((i = 0; i < 32; ++i)); do
    reads+=(-c "aio_read -P 0x5a $((at + i * 8192)) 8192")
done
qemu-io -r -f raw "${reads[@]}" -c aio_flush \
    -c "read -P 0x5a $((at + 1)) 511" -c "read -P 0x5a $at 256k" \
    -c "read -P 0 $((50 << 20)) 14M" "$uri" >out 2>&1 || fail "$(cat out)"
! grep -i -e failed -e error out || fail "a read"
[ "$(grep -c ^read out)" -eq 35 ] || fail "not all were done: $(cat out)"

! qemu-io -f raw -c 'write 0 4096' "$uri" >out 2>&1 || fail "it could write"
