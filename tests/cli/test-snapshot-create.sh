#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A snapshot whose devices cannot all be added does not stay behind.
. "$(dirname "$0")/functions.sh"

blksnap 0 snapshot_create --file /var/tmp --limit 2M
prints "$uuid"
made 'create /var/tmp 4096'

blksnap 0 snapshot_create -f /var/tmp -l 1G -d /dev/fake -d /dev/fake
prints "$uuid"
made 'create /var/tmp 2097152' attach snapshotadd attach snapshotadd

FAKE_FAIL=snapshotadd=16 blksnap 1 snapshot_create -f d -l 8192 -d /dev/fake
says err 'busy'
[ ! -s out ] || fail "printed $(cat out)"
made 'create d 16' attach snapshotadd destroy
