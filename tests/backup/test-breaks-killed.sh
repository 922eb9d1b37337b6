#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Killed at any of the calls by which it changes something, full or incremental:
# the points that there were stay, the one that was made is there in whole or
# not at all, and the next backup is as if nothing had been.
. "$(dirname "$0")/functions.sh"
: "${FAULT:?the library that makes calls fail}"
! is_sanitized "$BLKSNAP" || skip "built with a sanitizer"

# break_at N : a backup that is killed at its Nth call. 1 once there is no Nth.
break_at() {
    local status=0
    FAULT_AT=$1 LD_PRELOAD=$FAULT "$BLKSNAP" backup -q "$uri" --to repo \
        >out 2>err || status=$?
    case $status in
    0) return 1 ;;
    137) ;;
    *) fail "call $1: status $status: $(cat err)" ;;
    esac
}
# walk FILE... : the content of the points before; breaks the backup of ./disk.raw
# at calls further and further on, all of the first ones, then fewer.
walk() {
    local n=1 breaks=0 made
    while break_at $n; do
        breaks=$((breaks + 1))
        n=$((n + 1 + n / 8))
        "$BLKSNAP" list --json repo >listed 2>/dev/null ||
            echo '{"points": []}' >listed
        made=$(jq '.points | length' listed)
        [ "$made" -ge $# ] || fail "a point was lost"
        [ "$made" -eq 0 ] || healthy
    done
    [ $breaks -ge 15 ] || fail "only $breaks breaks: this test shows little"
    [ -z "$(find repo -name '*.partial')" ] || fail "something was left"
    healthy
    # What was made is what was to be made, and what was before is as before.
    for made in $(seq $(($# + 1)) "$(points)"); do
        qemu-img compare -q -f qcow2 -F raw "repo/$(point "$made")/disk.qcow2" \
            disk.raw || fail "point $made is wrong"
    done
    for made in $(seq $#); do
        qemu-img compare -q -f qcow2 -F raw "repo/$(point "$made")/disk.qcow2" \
            "${!made}" || fail "point $made has changed"
    done
}

new_disk $((3 << 20))
serve
walk
cp disk.raw at.1
mv repo all
mkdir repo
first=$(jq -r '.points[0].point' <("$BLKSNAP" list --json all))
jq --arg name "$first" '.points |= {($name): .[$name]}' \
    all/blksnap-repository.json >repo/blksnap-repository.json
seal repo/blksnap-repository.json
cp -r "all/$first" repo
stop
next_instant >/dev/null
serve
walk at.1
[ "$(manifest .kind)" = incremental ] || fail "kind"
