#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# With an export NAME@CHECKPOINT+changed, a stock qemu-img makes an incremental
# backup: it copies what changed, and nothing else.
. "$(dirname "$0")/functions.sh"
requires qemu-img qemu-io

make_disk
# The previous backup: the same but for what changed since take 1.
cp disk.raw previous.raw
for range in '0 64k' '1M 1M'; do
    qemu-io -f raw -c "write -P 9 $range" previous.raw >/dev/null
done
qemu-io -f raw -c 'write -P 9 10M 512' previous.raw >/dev/null
qemu-img convert -f raw -O qcow2 previous.raw previous.qcow2

serve "$PLUGIN" file=disk.raw cbt=disk.cbt
nbdinfo --list "$(uri)" >out
says out "export=\"disk.raw@$generation.2+changed\""
changed=$(uri "disk.raw@$generation.1+changed")
nbdinfo --map "$changed" >map
awk '{ print $1, $2, $3 }' map | diff - <(printf '%s\n' \
    '0 65536 0' '65536 983040 1' '1048576 1048576 0' '2097152 8388608 1' \
    '10485760 512 0')

qemu-img convert -f raw -B previous.qcow2 -F qcow2 -O qcow2 "$changed" inc.qcow2
qemu-img compare -q -f qcow2 -F raw inc.qcow2 disk.raw ||
    fail "the increment and its backing do not make the disk"
qemu-img map --output=json inc.qcow2 |
    grep -o '"start": [0-9]*, "length": [0-9]*, "depth": 0' >copied
diff copied - <<'END'
"start": 0, "length": 65536, "depth": 0
"start": 1048576, "length": 1048576, "depth": 0
"start": 10485760, "length": 512, "depth": 0
END

# What cannot be answered is refused: another generation, a take to come.
for checkpoint in 00000000-1c4b-4d0a-9a52-0f7c6f5f4f0e.1 "$generation.4"; do
    ! nbdinfo --size "$(uri "disk.raw@$checkpoint+changed")" 2>err ||
        fail "checkpoint $checkpoint was answered"
done
