#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Any point comes back, to a file, a device or an export, and nothing else is
# overwritten.
. "$(dirname "$0")/functions.sh"

new_disk $((8 << 20))
cp --sparse=always disk.raw at.1
serve
blksnap 0 backup "$uri" --to repo
stop
next_instant >/dev/null
serve
blksnap 0 backup "$uri" --to repo

blksnap 0 restore repo --to new.raw
says out "point=$(point)"
cmp new.raw disk.raw
[ "$(stat -c %a new.raw)" = 600 ] || fail "others may read it"
[ "$(du -k new.raw | cut -f1)" -le $(($(du -k disk.raw | cut -f1) + 200)) ] ||
    fail "not sparse"
blksnap 1 restore repo --to new.raw --point "$(point 1)"
says err 'new.raw exists: --force overwrites it'
cmp new.raw disk.raw
blksnap 0 restore repo --to new.raw --point "$(point 1)" --force
cmp new.raw at.1
blksnap 1 restore repo --to x.raw --point 20200101T000000Z
blksnap 1 restore repo --to x.raw --disk other
[ ! -e x.raw ] || fail "a file came to be"

# No image of a point is overwritten, nor is one that QEMU has open.
image=repo/$(point 1)/disk.qcow2
sha256sum "$image" new.raw >before
ln -s "$PWD/repo" elsewhere
ln -s "$PWD/$image" link.raw
for target in "$image" "elsewhere/$(point 1)/disk.qcow2" link.raw repo/new.raw; do
    blksnap 1 restore repo --force --to "$target"
    says err "$target lies in the repository $PWD/repo"
    blksnap 1 pull "$uri" "$target"
    says err "$target lies in the repository $PWD/repo"
done
[ ! -e repo/new.raw ] || fail "a file came to be"
serve_qemu -r -f raw new.raw
blksnap 1 restore repo --force --to new.raw
says err 'new.raw: QEMU, or another program, has it open'
stop
sha256sum --quiet -c before

# An export: all of it is written, the zeroes over what was there as well.
truncate -s 9M small.raw
head -c 9M /dev/urandom >export.raw
cp export.raw before.raw
serve_qemu -f raw export.raw
blksnap 0 restore repo --to "$qemu_uri"
stop
cmp <(head -c 8M export.raw) disk.raw
cmp <(tail -c 1M export.raw) <(tail -c 1M before.raw)
serve_qemu -r -f raw export.raw
blksnap 1 restore repo --to "$qemu_uri"
says err 'the export is read-only'
stop
truncate -s 7M small.raw
serve_qemu -f raw small.raw
blksnap 1 restore repo --to "$qemu_uri"
says err 'has 7340032 bytes, the disk has 8388608'

# Damage: all the same it is restored, but nobody is told that it is good.
at=$(qemu-img map --output=json "repo/$(point)/disk.qcow2" |
    jq '[.[] | select(.depth == 0 and .data)][0].offset')
printf '\xff\xfe' |
    dd of="repo/$(point)/disk.qcow2" bs=1 seek=$((at + 5)) conv=notrunc status=none
blksnap 1 restore repo --to damaged.raw
says err 'damaged.raw is not what was backed up'
says err 'do not have their digests, the first at offset'
[ "$(cmp -l damaged.raw disk.raw | wc -l)" -le 2 ] || fail "more is damaged"
