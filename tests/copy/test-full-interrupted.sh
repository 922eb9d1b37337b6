#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A signal ends a pull in an orderly way: it says what the target is worth.
. "$(dirname "$0")/functions.sh"
requires nbdkit

serve_nbdkit --filter=delay pattern 64M rdelay=500ms
"$BLKSNAP" pull "$nbdkit_uri" copy.raw >out 2>err &
pid=$!
servers+=("$pid")
for _ in $(seq 100); do
    [ -s copy.raw ] && break
    sleep 0.05
done
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
[ $status -eq 1 ] || fail "status $status"
says err 'interrupted; copy.raw is incomplete: take the full copy again'
[ ! -s out ] || fail "printed $(cat out)"
