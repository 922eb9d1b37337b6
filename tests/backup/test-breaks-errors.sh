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
n=1 failures=0
while :; do
    status=0
    FAULT_AT=$n FAULT_ERRNO=$enospc FAULT_COUNT=count LD_PRELOAD=$FAULT \
        "$BLKSNAP" backup -q "$uri" --to repo >out 2>err || status=$?
    [ "$(cat count)" -ge $n ] || break
    if [ $status -eq 1 ]; then
        failures=$((failures + 1))
        [ "$(wc -l <err)" -eq 1 ] || fail "call $n: not one line: $(cat err)"
        ! grep -q '^blksnap: *$' err || fail "call $n: it says nothing"
        [ -z "$(find repo -name '*.partial')" ] || fail "call $n: left something"
    elif [ $status -ne 0 ]; then
        fail "call $n: status $status: $(cat err)"
    fi
    healthy
    n=$((n + 1 + n / 12))
done
[ $failures -ge 15 ] || fail "only $failures failures: this test shows little"
qemu-img compare -q -f qcow2 -F raw "repo/$(point 1)/disk.qcow2" at.1
qemu-img compare -q -f qcow2 -F raw "repo/$(point)/disk.qcow2" disk.raw
