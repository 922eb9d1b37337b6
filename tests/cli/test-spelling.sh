#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Options may be spelled in all the ways that scripts use; each command has
# help with an example.
. "$(dirname "$0")/functions.sh"

for id in "--id=$uuid" "--id $uuid" "-i $uuid" "-i$uuid" "-i ${uuid^^}"; do
    # shellcheck disable=SC2086  # two words, some of them
    blksnap 0 snapshot_take $id
    made take
done
for device in '-d/dev/fake' '-d /dev/fake' '--device=/dev/fake'; do
    # shellcheck disable=SC2086
    blksnap 0 snapshot_add -i "$uuid" $device
    made attach snapshotadd
done

verbs='version attach detach cbtinfo readcbtmap markdirtyblock snapshot_create
    snapshot_add snapshot_take snapshot_destroy snapshot_info snapshot_collect
    snapshot_waitevent snapshot_watcher pull'
blksnap 0 --help
mv out help
for verb in $verbs; do
    says help "  $verb "
    blksnap 0 "$verb" --help
    says out "  blksnap $verb"
done
