#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Partitions, and the files behind what changed, of ext4 and xfs.
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/functions.sh
. "$here/../functions.sh"
PATH=$PATH:/sbin:/usr/sbin
requires python3 jq sfdisk mkfs.ext4 debugfs
: "${BLKSNAP:?the blksnap program to test}"
export LC_ALL=C.UTF-8

# changes FILE IMAGE NUMBER OFFSET:BYTES... : a map in which these changed
changes() {
    python3 - "$here" "$@" <<'EOF'
import os, sys
sys.path.insert(0, sys.argv[1])
import maps
name, image, number = sys.argv[2], sys.argv[3], int(sys.argv[4])
capacity, pieces = os.stat(image).st_size, []
for text in sys.argv[5:]:
    offset, length = map(int, text.split(":"))
    first, last = offset // 4096, (offset + length - 1) // 4096
    pieces.append((first, last - first + 1, number))
open(name, "wb").write(maps.encode(capacity, 4096, number,
                                   maps.runs(-(-capacity // 4096), *pieces)))
EOF
}

# Two files of known places in the second of three partitions.
mkdir -p tree/var/lib
head -c 400000 /dev/urandom >tree/var/lib/base.db
head -c 100000 /dev/urandom >'tree/var/a b.log'
truncate -s 16M fs
mkfs.ext4 -q -b 4096 -L root -d tree fs
truncate -s 64M disk
sfdisk -q disk <<'EOF'
label: gpt
start=2048, size=16384, name=boot
start=32768, size=32768, name=system
start=98304, size=16384
EOF
start=$((32768 * 512))
dd if=fs of=disk bs=1M seek=16 conv=notrunc status=none
sum=$(sha256sum <disk)

# By another way than by asking who owns a block.
first_block() { debugfs -R "blocks $1" fs 2>/dev/null | awk '{print $1}'; }
base=$(first_block /var/lib/base.db)
log=$(first_block '"/var/a b.log"')
changes map disk 3 $((start + base * 4096)):$((20 * 4096)) \
    $((start + log * 4096)):$((5 * 4096)) 0:4096
"$BLKSNAP" map --image disk --files --json map >out
jq -e '[.partitions[] | {name, type, "label": .label, offset, length,
        changed_bytes}] ==
    [{name: "1", type: "", "label": "boot", offset: 1048576, length: 8388608,
      changed_bytes: 0},
     {name: "2", type: "ext4", "label": "root", offset: 16777216,
      length: 16777216, changed_bytes: 102400},
     {name: "3", type: "", "label": "", offset: 50331648, length: 8388608,
      changed_bytes: 0}]' out >/dev/null || fail "partitions: $(cat out)"
jq -e '.changed_bytes_outside == 4096' out >/dev/null || fail "$(cat out)"
jq -e --argjson start $start --argjson base "$base" \
    '[.files[] | {path, partition, changed_bytes, number}] ==
     [{path: "/var/lib/base.db", partition: "2", changed_bytes: 81920,
       number: 3},
      {path: "/var/a b.log", partition: "2", changed_bytes: 20480,
       number: 3}] and
     .files[0].places == [{offset: ($start + $base * 4096), length: 81920}]' \
    out >/dev/null || fail "files: $(cat out)"
"$BLKSNAP" map --image disk --files=1 map >out
grep -qx ' *2  ext4 *16M *16M *100K *0\.6 % *96\.2 %  root' out ||
    fail "no line of the partition: $(cat out)"
grep -qx ' *outside *32M *4K *0\.0 % *3\.8 %' out || fail "no line of the rest: $(cat out)"
grep -qx ' *80K *3 *2  /var/lib/base.db' out || fail "no file: $(cat out)"
! grep -q 'a b.log' out || fail "more files than asked for"
[ "$(sha256sum <disk)" = "$sum" ] || fail "the image was written to"

# What is no file is called so: the superblock, the journal.
journal=$(first_block '<8>')
changes meta fs 1 0:4096 $((journal * 4096)):8192
"$BLKSNAP" map --image fs --files --json meta >out
[ "$(jq -c '[.files[] | [.path, .changed_bytes]]' out)" = \
    '[["(journal)",8192],["(metadata, or space of deleted files)",4096]]' ] ||
    fail "$(cat out)"

# Names come from a disk that anybody may have written.
mkdir evil
head -c 8192 /dev/urandom >evil/$'\033]0;x\007<script>alert(1)'
truncate -s 8M evil.img
mkfs.ext4 -q -b 4096 -O ^has_journal -d evil evil.img
changes evil.map evil.img 1 0:$((8 << 20))
"$BLKSNAP" map --image evil.img --files=5 evil.map --html evil.html
[ "$(grep -c '<script' evil.html)" -eq 2 ] || fail "a name became a script"
"$BLKSNAP" map --image evil.img --files=5 evil.map >out
! grep -q $'\033' out || fail "a name reached the terminal"

# Where it cannot be told, a sentence says so, and the map is shown.
changes boot disk 1 1048576:4096
"$BLKSNAP" map --image disk --files boot >out
says out 'note: partition 1: files can be told of ext4 and xfs alone'

# XFS: one file in the first of its allocation groups, of which none is a power
# of two in size, and one that has room only in another.
if command -v mkfs.xfs >/dev/null && command -v xfs_db >/dev/null; then
    head -c 4096 /dev/urandom >far
    truncate -s 12M far
    truncate -s 72M near
    printf '%s\n' /boot '0 0' 'd--755 0 0' \
        "base.db ---644 0 0 $scratch/tree/var/lib/base.db" \
        "near ---644 0 0 $scratch/near" "far ---644 0 0 $scratch/far" '$' >proto
    truncate -s 320M x.img
    mkfs.xfs -q -d agcount=4 -p proto x.img
    group=$(xfs_db -r -c 'sb 0' -c 'print agblocks' x.img | sed 's/.* = //')
    place_of() { # FILE : by its content
        python3 - "$1" <<'EOF'
import sys
want = open(sys.argv[1], "rb").read(4096)
image = open("x.img", "rb")
at = 0
while image.read(4096) != want:
    at += 4096
print(at)
EOF
    }
    base=$(place_of tree/var/lib/base.db)
    far=$(place_of far)
    ((group & (group - 1))) || fail "groups of $group blocks"
    ((base / 4096 < group && far / 4096 > group)) || fail "all in one group"
    changes xmap x.img 2 "$base:$((30 * 4096))" 0:512 "$far:$((9 * 4096))"
    "$BLKSNAP" map --image x.img --files --json xmap >out
    [ "$(jq -c '[.files[] | [.path, .changed_bytes]]' out)" = \
        '[["/base.db",122880],["/far",36864],["(metadata, log or free space)",4096]]' ] ||
        fail "$(cat out)"
fi
