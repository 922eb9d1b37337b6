#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Scripts parse what is printed: letter by letter.
. "$(dirname "$0")/functions.sh"

blksnap 0 version
prints 2.0.0.0

blksnap 0 attach --device /dev/fake
prints 'Attached successfully'
FAKE_FAIL=attach=114 blksnap 0 attach --device /dev/fake # EALREADY
prints 'Already was attached'

blksnap 0 detach --device /dev/fake
[ ! -s out ] || fail "detach prints"
made detach

blksnap 0 cbtinfo --device /dev/fake
prints block_size=65536 device_capacity=65536000 block_count=1000 \
    "generation_id=$uuid" changes_number=7

blksnap 0 markdirtyblock --device /dev/fake --ranges 0:8 2048:16
[ ! -s out ] || fail "markdirtyblock prints"
made 'cbtdirty 0:8 2048:16'

for verb in take destroy; do
    blksnap 0 snapshot_$verb --id "$uuid"
    [ ! -s out ] || fail "snapshot_$verb prints"
    made $verb
done
blksnap 0 snapshot_take --id "$uuid" --read-only
made take-read-only
FAKE_FAIL=take-read-only=25 blksnap 0 snapshot_take --id "$uuid" --read-only
made take-read-only take

blksnap 0 snapshot_info --device /dev/fake
prints error_code=-28 image=/dev/blksnap-259-1 quiesced=frozen
FAKE_FAIL=snapshotquiesced=25 blksnap 0 snapshot_info --device /dev/fake
prints error_code=-28 image=/dev/blksnap-259-1
blksnap 0 snapshot_info --device /dev/fake --field image
prints /dev/blksnap-259-1
blksnap 0 snapshot_info --device /dev/fake -f error_code
prints -28
blksnap 0 snapshot_info --device /dev/fake -f quiesced
prints frozen

blksnap 0 snapshot_collect
prints "$uuid" ffffffff-ffff-ffff-ffff-ffffffffffff

blksnap 0 status
prints 'No device is tracked.' '' \
    'SNAPSHOT                                  STORAGE USED  DEVICES' \
    "$uuid        900M of 1G  (not taken)" \
    'ffffffff-ffff-ffff-ffff-ffffffffffff                 -  (not taken)' '' \
    "warning: snapshot $uuid: 88 % of its storage is used; when it is full, its images are lost"

: >out
LD_PRELOAD=$FAKE_MODULE "$BLKSNAP" status --watch 1 >out &
pid=$!
for _ in $(seq 200); do
    [ "$(grep -c '^SNAPSHOT' out)" -lt 2 ] || break
    sleep 0.05
done
kill -TERM $pid
wait $pid || fail "the watch ended with $?"
[ "$(grep -c '^SNAPSHOT' out)" -ge 2 ] || fail "shown once: $(cat out)"
