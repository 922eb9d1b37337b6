#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checkpoints by the names that were given to them while nbdkit runs in the
# background, from a file with a relative name: in exports by both sockets, in
# contexts by that of bitmaps=.
. "$(dirname "$0")/functions.sh"
requires nbdcopy cmp

make_disk
nbdkit -U "$PWD/nbdkit.sock" -P pid "$PLUGIN" file=disk.raw cbt=disk.cbt \
    checkpoints=names.json bitmaps=unix:bitmaps.sock
wait_for test -s pid
servers+=("$(cat pid)")

! nbdinfo "$(uri disk.raw@monday)" >out 2>err || fail "a name from nowhere"
cat >names.json <<EOF
{"version": 1, "checkpoints": [
    {"name": "monday", "device": "/dev/vdb", "checkpoint": "$generation.1",
     "added": "2026-11-22T01:02:03Z"},
    {"name": "stale", "device": "/dev/vdb", "added": "2026-11-22T01:02:03Z",
     "checkpoint": "4f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.1"}]}
EOF
for socket in nbdkit.sock bitmaps.sock; do
    nbdinfo --list "$(uri '' $socket)" >list
    says list 'export="disk.raw@monday"'
    says list 'export="disk.raw@monday+changed"'
    ! grep -q stale list || fail "a name that does not stand is listed"
    nbdcopy "$(uri disk.raw@monday $socket)" copy.raw
    cmp disk.raw copy.raw
    # Block 0, blocks 16 to 31, and the last one.
    nbdinfo --map "$(uri disk.raw@monday+changed $socket)" | awk '{ print $1, $2, $3 }' |
        diff - <(printf '%s\n' '0 65536 0' '65536 983040 1' '1048576 1048576 0' \
            '2097152 8388608 1' '10485760 512 0') || fail "other changes"
done
nbdinfo --map=qemu:dirty-bitmap:monday "$(uri '' bitmaps.sock)" | awk '{ print $1, $2, $3 }' |
    diff - <(printf '%s\n' '0 65536 1' '65536 983040 0' '1048576 1048576 1' \
        '2097152 8388608 0' '10485760 512 1') || fail "another bitmap"
! nbdinfo --map=qemu:dirty-bitmap:stale "$(uri '' bitmaps.sock)" >out 2>err ||
    fail "a bitmap of another generation"
"$BLKSNAP" pull --since monday "$(uri '' bitmaps.sock)" copy.raw >out
says out "checkpoint=$generation.3"
status=0
"$BLKSNAP" pull --since stale "$(uri '' bitmaps.sock)" copy.raw >out 2>err || status=$?
[ $status -eq 3 ] || fail "status $status for what does not stand"
