#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whatever is damaged is found, and all of it is told.
. "$(dirname "$0")/functions.sh"

new_disk $((8 << 20))
serve
blksnap 0 backup "$uri" --to repo
stop
next_instant >/dev/null
serve
blksnap 0 backup "$uri" --to repo
first=$(point 1)
second=$(point 2)
healthy
[ "$(sed -n s/^images=//p verified)" -eq 2 ] || fail "$(cat verified)"
mv repo good

# damaged COMMAND... : with a fresh copy in ./repo.
damaged() {
    rm -rf repo
    cp -r --sparse=always good repo
    "$@"
}
# bad TEXT... : verify says each of them, on a line of their own.
bad() {
    blksnap 1 verify repo
    for text in "$@"; do says out "bad: $text"; done
    [ "$(grep -c '^bad: ' out)" -eq $# ] || fail "$(cat out)"
    says out "bad=$#"
    says err "repo: $# things are bad"
}

# A byte of data: where qemu-img says that the block of an offset lies.
flip() {
    local place
    place=$(qemu-img map --output=json "repo/$1/disk.qcow2" |
        jq "[.[] | select(.depth == 0 and .data)][$2] | .start, .offset")
    read -r -d '' offset at <<<"$place" || :
    printf '\xff\xfe' |
        dd of="repo/$1/disk.qcow2" bs=1 seek=$((at + 5)) conv=notrunc status=none
}
damaged flip "$first" 0
bad "$first disk at offset $offset: 1 blocks of the image do not have"
one=$offset
flip "$second" 0
bad "$first disk at offset $one: 1 blocks" "$second disk at offset $offset: 1 b"
blksnap 1 verify --point "$second" repo
says out "bad: $second disk at offset"
blksnap 1 verify --json --quiet repo
[ "$(head -1 out | jq .bad.offset)" -eq "$one" ] || fail "$(cat out)"

# A cluster that an increment should not have.
allocate() {
    qemu-img map --output=json "repo/$second/disk.qcow2" >layers
    at=$(jq '[.[] | select(.depth == 1 and .data)][0].start' layers)
    qemu-io -c "write -P 77 $at 64k" "repo/$second/disk.qcow2" >/dev/null
}
damaged allocate
bad "$second disk at offset $at: 1 blocks of the image do not"

damaged rm "repo/$first/disk.qcow2"
bad "$first disk qemu-img failed" "$second disk"
damaged rm -r "repo/$first"
bad "$second disk point $second stands on $first, which is not there"
damaged rm "repo/$first/manifest.json"
bad "read $PWD/repo/$first/manifest.json" "$second disk point $second stands on"
damaged truncate -s 100 "repo/$second/disk.sums"
bad "$second disk $PWD/repo/$second/disk.sums: it has 100 bytes, not"
damaged dd if=/dev/urandom of="repo/$second/disk.sums" bs=32 count=1 seek=3 \
    conv=notrunc status=none
bad "$second disk disk.sums does not have the digests of the manifest" \
    "$second disk at offset 196608: 1 blocks"
damaged qemu-img rebase -u -b '' "repo/$second/disk.qcow2"
blksnap 1 verify repo
says out "bad: $second disk the image stands on '', not on '../$first/disk.qcow2'"
damaged qemu-img resize -q "repo/$second/disk.qcow2" 9M
blksnap 1 verify repo
says out "bad: $second disk the image has 9437184 bytes, the manifest 8388608"
# A table of references that is wrong.
damaged dd if=/dev/zero of="repo/$first/disk.qcow2" bs=64K seek=2 count=1 \
    conv=notrunc status=none
blksnap 1 verify repo
says out "bad: $first disk qemu-img check: the image is corrupt"

# A live source of the same instant, and of another.
rm -rf repo
cp -r good repo
blksnap 0 verify --source "$uri" repo
stop
next_instant >/dev/null
serve
blksnap 1 verify --source "$uri" repo
says out 'differ from nbd+unix:///disk?socket=socket'
blksnap 1 verify --point 20200101T000000Z repo
says err 'there is no such point or disk'
