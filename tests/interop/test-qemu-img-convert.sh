#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qemu-img convert and compare: full copies, and an increment on top of the
# previous backup from the "+changed" view.
. "$(dirname "$0")/functions.sh"
requires qemu-img jq
serve

qemu-img compare -q -f raw -F raw "$uri" disk.raw || fail "compare"
qemu-img convert -f raw -O raw "$uri" copy.raw
cmp copy.raw disk.raw || fail "raw"
qemu-img convert -m 16 -W -f raw -O qcow2 "$uri" full.qcow2
qemu-img compare -q -f qcow2 -F raw full.qcow2 disk.raw || fail "qcow2"

# The disk as it was at take 5: whatever changed since held something else.
cp disk.raw previous.raw
extents 5 | while read -r offset length dirty; do
    [ "$dirty" = 0 ] || head -c "$length" /dev/zero | tr '\0' '\125' |
        dd of=previous.raw bs=64k seek=$((offset / 65536)) conv=notrunc \
            iflag=fullblock status=none
done
! cmp -s previous.raw disk.raw || fail "nothing changed, so nothing is tested"
qemu-img convert -f raw -O qcow2 previous.raw previous.qcow2
qemu-img convert -f raw -O qcow2 -B previous.qcow2 -F qcow2 \
    "nbd+unix:///disk@$generation.5+changed?socket=socket" increment.qcow2
qemu-img compare -q -f qcow2 -F raw increment.qcow2 disk.raw ||
    fail "previous + increment is not the disk"

# And the increment holds changed blocks alone.
qemu-img map --output=json increment.qcow2 |
    jq -r '.[] | select(.depth == 0) | "\(.start) \(.length)"' >copied
awk 'NR == FNR { if ($3) for (b = $1 / 65536; b < ($1 + $2) / 65536; ++b) changed[b]; next }
     { for (b = $1 / 65536; b < ($1 + $2) / 65536; ++b)
           if (!(b in changed)) { print "block", b; exit 1 } }' \
    <(extents 5) copied >&2 || fail "an unchanged block was copied"
