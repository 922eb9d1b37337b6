#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Any of its own calls fails, for want of space: an error of one line, no point,
# nothing left, nothing lost.
. "$(dirname "$0")/functions.sh"
: "${FAULT:?the library that makes calls fail}"
! is_sanitized "$BLKSNAP" || skip "built with a sanitizer"

new_disk $((2 << 20))
serve
blksnap 0 backup "$uri" --to repo
cp disk.raw at.1
stop
next_instant >/dev/null
serve
enospc=28
failures=0 unsure=0
# fails_at N : the Nth call does; ./count has how many calls there were.
fails_at() {
    local status=0 before
    before=$(points)
    FAULT_AT=$1 FAULT_ERRNO=$enospc FAULT_COUNT=count LD_PRELOAD=$FAULT \
        "$BLKSNAP" backup -q "$uri" --to repo >out 2>err || status=$?
    [ "$(cat count)" -ge "$1" ] || return 0
    if [ $status -eq 1 ]; then
        failures=$((failures + 1))
        [ "$(wc -l <err)" -eq 1 ] || fail "call $1: not one line: $(cat err)"
        ! grep -q '^blksnap: *$' err || fail "call $1: it says nothing"
        [ -z "$(find repo -name '*.partial')" ] || fail "call $1: left something"
        if [ "$(points)" -gt "$before" ]; then
            says err "point $(point) was made, but may not outlast a crash"
            unsure=$((unsure + 1))
        fi
    elif [ $status -ne 0 ]; then
        fail "call $1: status $status: $(cat err)"
    fi
    healthy
}
n=1 calls=0
while fails_at $n && [ "$(cat count)" -ge $n ]; do
    calls=$(cat count)
    n=$((n + 1 + n / 12))
done
# The commit is near the end, before the list of points.
for n in $(seq $((calls - 16)) "$calls"); do fails_at "$n"; done
[ $unsure -ge 1 ] || fail "no failure after the rename"
[ $failures -ge 15 ] || fail "only $failures failures: this test shows little"
qemu-img compare -q -f qcow2 -F raw "repo/$(point 1)/disk.qcow2" at.1
qemu-img compare -q -f qcow2 -F raw "repo/$(point)/disk.qcow2" disk.raw
