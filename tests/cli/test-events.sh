#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The answers of waitevent are all successes; the watcher prints until the
# snapshot is gone, or a signal comes.
. "$(dirname "$0")/functions.sh"

blksnap 0 snapshot_waitevent --id "$uuid" --timeout 1000
prints result=ok time=1700000000000000000 event=no_space

FAKE_FAIL=wait_event=2 blksnap 0 snapshot_waitevent -i "$uuid" -t 2500
prints result=timeout
# Slices of a second, so that a signal in between is not missed. How many it
# takes depends on how busy the machine is.
[ "$(head -n 1 log)" = 'wait_event a second' ] || fail "$(cat log)"
[ "$(wc -l <log)" -le 3 ] || fail "$(cat log)"
FAKE_FAIL=wait_event=4 blksnap 0 snapshot_waitevent -i "$uuid" -t 10
prints result=interrupted
FAKE_FAIL=wait_event=3 blksnap 0 snapshot_waitevent -i "$uuid" -t 10
prints 'result=not found'
FAKE_FAIL=wait_event=25 blksnap 1 snapshot_waitevent -i "$uuid" -t 10
says err 'this version of the module blksnap has no events'

blksnap 0 snapshot_watcher -i "$uuid"
prints 'Start snapshot watcher.' \
    'time=1700000000000000000 event=no_space requested_bytes=1073741824' \
    'time=1700000000000000001 event=corrupted device=259:1 error_code=28' \
    'Snapshot watcher finished'

: >out # or the output from above looks like that of this one
FAKE_FAIL=wait_event=2 LD_PRELOAD=$FAKE_MODULE \
    "$BLKSNAP" snapshot_watcher -i "$uuid" >out &
pid=$!
for _ in $(seq 100); do
    [ -s out ] && break # it is printed at once, though this is no terminal
    sleep 0.05
done
kill -TERM $pid
wait $pid || fail "the watcher ended with $?"
prints 'Start snapshot watcher.' 'Snapshot watcher finished'
