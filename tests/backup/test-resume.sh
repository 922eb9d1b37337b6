#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A backup that broke is taken up by one of the same instant: what was done is
# not read again. Of another instant it is not.
. "$(dirname "$0")/functions.sh"
: "${FAULT:?the library that makes calls fail}"
! is_sanitized "$BLKSNAP" || skip "built with a sanitizer"

# Between islands of data there is enough nothing for milestones.
size=$((4 << 30))
truncate -s $size disk.raw
data() {
    for gib in 0 1 2 3; do
        dd if=/dev/urandom of=disk.raw bs=1M seek=$((gib * 1024 + $1)) count=4 \
            conv=notrunc status=none
    done
}
# map NUMBER BLOCK... : with these blocks written last before that take.
map() {
    python3 - "$@" <<EOF
import sys
sys.path.insert(0, "$here/../protocol")
from mapfile import ChangeMap
number = int(sys.argv[1])
blocks = bytearray($size // 65536)
for mib in sys.argv[2:]:
    first = int(mib) * 16
    blocks[first:first + 64] = bytes([number]) * 64
ChangeMap($size, 65536, "$generation", number, bytes(blocks)).save("map")
EOF
}
data 10
map 1
serve

# broken : a backup that is killed once it has got as far as a milestone or
# more, at ever later calls; ./repo is left as it is then.
broken() {
    local n=40
    while :; do
        rm -rf repo
        cp -r before repo
        FAULT_AT=$n LD_PRELOAD=$FAULT "$BLKSNAP" backup -q "$uri" --to repo \
            >out 2>err && fail "there was no milestone"
        [ ! -s "$(find repo -name disk.done)" ] || break
        n=$((n + 4))
    done 2>/dev/null
}
mkdir before
broken
kept=$(basename "$(dirname "$(find repo -name disk.done)")" .partial)
position=$(tail -1 "repo/$kept.partial/disk.done" | cut -d' ' -f1)
[ "$position" -ge $((256 << 20)) ] || fail "position $position"
cp -r repo broken.repo

: >server.log
blksnap 0 backup "$uri" --to repo
says err "taking up what a backup that broke has left: $kept.partial"
[ "$(point)" = "$kept" ] || fail "another point: $(point)"
[ "$(manifest '.read_bytes + .zeroed_bytes')" -eq $size ] || fail "bytes"
[ "$(find "repo/$kept" -type f | wc -l)" -eq 3 ] || fail "$(ls "repo/$kept")"
qemu-img compare -q -f qcow2 -F raw "repo/$kept/disk.qcow2" disk.raw
healthy
# (16 MiB of data, of which the first 4 were done.)
wait_for grep -q ' closed: .*sent=[0-9]\{7\}' server.log
sent=$(sed -n 's/.* closed: .* sent=\([0-9]*\) .*/\1/p' server.log | sort -n |
    tail -1)
[ "$sent" -le $(((12 << 20) + 100000)) ] || fail "all was read again: $sent"

# An image that does not match its table is found by that, not passed on.
rm -rf repo
cp -r broken.repo repo
rm "repo/$kept.partial/disk.sums"
blksnap 0 backup "$uri" --to repo
qemu-img compare -q -f qcow2 -F raw "repo/$kept/disk.qcow2" disk.raw
healthy

# Nor is one written to that has its data in another file, or is a link to another
# image: somebody else may have put it there.
head -c 1M /dev/urandom >victim
qemu-img create -q -f qcow2 victim.qcow2 $size
sha256sum victim victim.qcow2 >victims.sum
for put in 'qemu-img create -q -f qcow2 -o data_file=other,data_file_raw=on "$image" $size &&
        qemu-img amend -q -f qcow2 -o data_file=$PWD/victim "$image"' \
    'ln -s "$PWD/victim.qcow2" "$image"' \
    'qemu-img create -q -f qcow2 -b "$PWD/victim" -F raw "$image" $size'; do
    rm -rf repo
    cp -r broken.repo repo
    image=repo/$kept.partial/disk.qcow2
    rm "$image"
    eval "$put"
    blksnap 0 backup "$uri" --to repo
    sha256sum --quiet -c victims.sum
    qemu-img compare -q -f qcow2 -F raw "repo/$(point)/disk.qcow2" disk.raw
    healthy
done
rm -rf repo
cp -r broken.repo repo
mv "repo/$kept.partial" away
ln -s "$PWD/away" "repo/$kept.partial"
blksnap 0 backup "$uri" --to repo
says err "removing what a backup that broke has left: $kept.partial"
[ -e away/disk.qcow2 ] || fail "it went behind the link"
qemu-img compare -q -f qcow2 -F raw "repo/$(point)/disk.qcow2" disk.raw
healthy

# Another run of the machine, half a line, another instant.
rm -rf repo
cp -r broken.repo repo
sed -i 's/"boot":"[^"]*"/"boot":"another"/' "repo/$kept.partial/resume.json"
blksnap 0 backup "$uri" --to repo
says err "removing what a backup that broke has left: $kept.partial"
healthy
# Nor is it taken up by one that compresses, which writes in other pieces.
rm -rf repo
cp -r broken.repo repo
blksnap 0 backup --compress "$uri" --to repo
says err "removing what a backup that broke has left: $kept.partial"
healthy
stop
rm -rf repo
cp -r broken.repo repo
data 20
map 2 20 1044 2068 3092
serve
blksnap 0 backup "$uri" --to repo
says err "removing what a backup that broke has left: $kept.partial"
qemu-img compare -q -f qcow2 -F raw "repo/$(point)/disk.qcow2" disk.raw
healthy
