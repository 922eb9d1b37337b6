#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The maps of a disk of 8 TiB. A client that speaks extended headers gets each
# by one request and one reply; others need one for each 4 GiB.
. "$(dirname "$0")/functions.sh"
requires nbdinfo qemu-img jq

size=$((8 << 40))
rm disk.raw map
truncate -s $size disk.raw 2>/dev/null || skip "no files of 8 TiB here"
for gib in 0 3 4 2047 2048 5000 8191; do
    for mib in 0 7 513; do
        head -c 70000 /dev/urandom |
            dd of=disk.raw bs=1M seek=$((gib * 1024 + mib)) conv=notrunc status=none
    done
done
# Blocks of 64 MiB, changed in runs of different lengths.
# shellcheck disable=SC2046  # many words
"$mapfile_py" make map $size $((64 << 20)) $generation 9 \
    $(for ((block = 0; block < 131072; ++block)); do
        echo $((block * block / 997 % 10))
    done)
serve

# What QEMU finds in the file itself.
command -p qemu-img map --output=json -f raw disk.raw |
    jq -r '.[] | "\(.start) \(.length) \(if .zero then 3 else 0 end)"' >expected.base
extents 4 >expected.dirty
[ "$(wc -l <expected.base)" -gt 30 ] && [ "$(wc -l <expected.dirty)" -gt 10000 ] ||
    fail "not much of a map"

# How often libnbd was asked for block status by nbdinfo, in its own words.
requests() {
    grep -c 'nbd_block_status[_0-9a-z]*: enter' debug
}
for context in base:allocation "$(bitmap 4)"; do
    expected=expected.base
    [ "$context" = base:allocation ] || expected=expected.dirty
    LIBNBD_DEBUG=1 nbdinfo --map="$context" "$uri" 2>debug | awk '{ print $1, $2, $3 }' >seen
    same "$context" $expected seen
    if at_least 1.17 nbdinfo; then
        [ "$(requests)" = 1 ] || fail "$context: not by one request but $(requests)"
    else
        [ "$(requests)" -ge 2048 ] || fail "$context: requests are not counted"
    fi
done

# QEMU asks for one extent at a time.
qemu-img map --output=json --image-opts \
    "driver=nbd,server.type=unix,server.path=$PWD/socket,export=disk" |
    jq -r '.[] | "\(.start) \(.length) \(if .zero then 3 else 0 end)"' >seen
same "base:allocation by QEMU" expected.base seen
