#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A repository of the first format, as version 0.1.0 left it (format-1.tar.xz): it is
# read as it is, and made one of today's by the next backup, however often that breaks.
. "$(dirname "$0")/functions.sh"
requires tar xz

tar -xJf "$here/format-1.tar.xz"
mapfile -t names < <(cd repo && ls -d ./*Z | cut -c3-)
# Eight blocks, a letter each; '.' for zeroes.
contents=(abcd.... abXd..e. abXd.f..)
disk_of() { # CONTENT FILE
    local i
    rm -f "$2"
    truncate -s $((8 << 16)) "$2"
    for ((i = 0; i < 8; i++)); do
        [ "${1:i:1}" = . ] && continue
        head -c 65536 /dev/zero | tr '\0' "${1:i:1}" |
            dd of="$2" bs=64K seek=$i conv=notrunc status=none
    done
}
for n in 0 1 2; do disk_of "${contents[n]}" "at.$n"; done
all_hold() {
    local n
    for n in 0 1 2; do holds "${names[n]}" "at.$n"; done
    healthy
}

# Whoever reads it changes nothing.
before=$(find repo -type f -exec sha256sum {} + | sort)
all_hold
blksnap 0 prune repo --keep-last 1 --dry-run
[ "$before" = "$(find repo -type f -exec sha256sum {} + | sort)" ] ||
    fail "a reader has changed it"
mv repo first
fresh() {
    rm -rf repo
    cp -r --sparse=always first repo
}
# upgraded : all of it is of today's format, and says so.
upgraded() {
    local file
    for file in repo/blksnap-repository.json repo/*Z*/manifest.json; do
        [ "$(jq .format "$file")" = 2 ] || fail "$file: $(jq .format "$file")"
        cp "$file" sealed
        seal sealed
        cmp sealed "$file"
    done
    [ "$(jq -r '.points | keys[]' repo/blksnap-repository.json)" = \
        "$(cd repo && ls -d ./*Z* | cut -c3-)" ] || fail "points of the catalogue"
    [ "$(jq -r .disks[0].parent_id "repo/${names[2]}/manifest.json")" = \
        "$(jq -r .id "repo/${names[1]}/manifest.json")" ] || fail "link"
    # Nothing else of a manifest has changed.
    for file in "${names[@]}"; do
        jq 'del(.digest, .id, .point, .disks[].parent_id, .disks[].parent_content) |
            .format = 1' "repo/$file/manifest.json" |
            diff - <(jq . "first/$file/manifest.json")
    done
}

# By a backup, which is an increment on it.
disk_of abXdg... disk.raw
cat >map.py <<EOF
import sys
sys.path.insert(0, "$here/../protocol")
from mapfile import ChangeMap
ChangeMap(8 << 16, 64 << 10, "$generation", 4, bytes([0, 0, 2, 0, 4, 4, 3, 0]), []).save("map")
EOF
python3 -B map.py
serve
fresh
blksnap 0 backup "$uri" --to repo
says err 'was of format 1 and is of format 2 now'
[ "$(manifest .kind) $(manifest .parent)" = "incremental ${names[2]}" ] || fail "kind"
holds "$(point)" disk.raw
all_hold
upgraded
blksnap 0 backup "$uri" --to repo
! grep -q 'of format 1' err || fail "twice"
# By a removal.
fresh
blksnap 0 prune repo --point "${names[1]}"
says err 'was of format 1 and is of format 2 now'
healthy
holds "${names[0]}" at.0
holds "${names[2]}" at.2
[ "$(jq -r .disks[0].parent_id "repo/${names[2]}/manifest.json")" = \
    "$(jq -r .id "repo/${names[0]}/manifest.json")" ] || fail "link"

# With one that cannot be read: the others are upgraded, and it is what it was.
fresh
mv "repo/${names[0]}/manifest.json" hidden
blksnap 0 backup "$uri" --to repo
mv hidden "repo/${names[0]}/manifest.json"
all_hold
blksnap 0 backup "$uri" --to repo
all_hold
[ "$(jq .format "repo/${names[0]}/manifest.json")" = 2 ] || fail "it stayed"

# It breaks at any call; with VM_SCALE, at more of them.
is_sanitized "$BLKSNAP" && exit
for errno in 0 28; do
    breaks=0
    for ((n = 1;; n += 1 + n / (2 * ${VM_SCALE:-1}))); do
        fresh
        status=0
        FAULT_AT=$n FAULT_ERRNO=$errno FAULT_COUNT=count LD_PRELOAD=$FAULT \
            "$BLKSNAP" prune -q repo --point "${names[2]}" >out 2>err || status=$?
        [ $status -ne 0 ] || break
        breaks=$((breaks + 1))
        holds "${names[0]}" at.0
        holds "${names[1]}" at.1
        healthy
        blksnap 0 backup "$uri" --to repo
        holds "$(point)" disk.raw
        holds "${names[1]}" at.1
        healthy
        [ "$(jq -s '[.[].format] | unique' repo/*Z*/manifest.json -c)" = '[2]' ] ||
            fail "call $n: a manifest stayed as it was"
    done
    [ $breaks -ge 6 ] || fail "only $breaks breaks: this test shows little"
done
