#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qemu-img map, with x-dirty-bitmap: qemu shows a changed range as one that is
# not data (it applies the flags of base:allocation to any context).
. "$(dirname "$0")/functions.sh"
requires qemu-img jq
serve

node=driver=nbd,server.type=unix,server.path=$PWD/socket,export=disk
for number in 0 4 8; do
    qemu-img map --output=json --image-opts \
        "$node,x-dirty-bitmap=$(bitmap $number)" >json
    jq -r '.[] | "\(.start) \(.length) \(if .data then 0 else 1 end)"' json >seen
    extents $number >expected
    same "changed since $number" expected seen
done

# The zeroes that it finds in base:allocation are zeroes.
qemu-img map --output=json --image-opts "$node" |
    jq -r '.[] | select(.zero) | "\(.start) \(.length)"' >zeroes
[ -s zeroes ] || fail "no zeroes were found"
while read -r offset length; do
    cmp -n "$length" -i "$offset":0 disk.raw /dev/zero || fail "$offset+$length"
done <zeroes

! qemu-img map --image-opts "$node,x-dirty-bitmap=qemu:dirty-bitmap:none" \
    2>/dev/null || fail "a bitmap that there is not"
