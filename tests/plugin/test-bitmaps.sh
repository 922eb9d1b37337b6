#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# bitmaps= offers the dirty bitmaps that nbdkit itself cannot, at the same time,
# over Unix and TCP; an incremental pull from it makes a copy equal to the disk.
. "$(dirname "$0")/functions.sh"
requires cmp python3

make_disk
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
serve "$PLUGIN" file=disk.raw cbt=disk.cbt bitmaps=unix:bitmaps.sock \
    "bitmaps=tcp:127.0.0.1:$port"

for where in "$(uri '' bitmaps.sock)" "nbd://127.0.0.1:$port"; do
    nbdinfo --map="qemu:dirty-bitmap:$generation.2" "$where" >map
    awk '{ print $1, $2, $3 }' map | diff - <(printf '%s\n' \
        '0 65536 1' '65536 10420224 0' '10485760 512 1')
done
nbdinfo --map "$(uri)" >map # nbdkit's own socket works as well
! nbdinfo --map="qemu:dirty-bitmap:$generation.2" "$(uri)" 2>err ||
    fail "nbdkit offers bitmaps now: is bitmaps= of use still?"

cp disk.raw copy.raw
dd if=/dev/zero of=copy.raw bs=64k count=1 conv=notrunc status=none
"$BLKSNAP" pull --since "$generation.2" "$(uri '' bitmaps.sock)" copy.raw >out
cmp disk.raw copy.raw
says out "checkpoint=$generation.3"
says out read_bytes=66048

stop
[ ! -e bitmaps.sock ] || fail "the socket stays behind"
