#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The table of blksnap(8): how each command ends.
. "$(dirname "$0")/functions.sh"

# Its codes are those of the page, and no others.
enumerated=$(sed -n '/^enum ExitStatus/,/^}/s/.*= \([0-9]*\),.*/\1/p' "$SOURCE_DIR/tools/blksnap/verbs.h")
documented=$(sed -n '/^\.Sh EXIT STATUS/,/^\.Sh EXAMPLES/s/^\.It \([0-9]*\)$/\1/p' "$SOURCE_DIR/tools/man/blksnap.8")
[ -n "$enumerated" ] && [ "$enumerated" = "$documented" ] ||
    fail "codes $enumerated, but the page has $documented"

names="--file $scratch/names"
# A line of each command: what it is given to succeed, and the call of the
# module that fails then, or "-" where it makes none.
while read -r call line; do
    # shellcheck disable=SC2086  # words
    set -- $line
    # shellcheck disable=SC2001
    echo "$line" | sed 's/ -.*//' >>tried
    blksnap 0 "$@"
    [ "$call" = - ] || FAKE_FAIL=$call=5 blksnap 1 "$@"
    blksnap 1 "$@" --no-such-option
    blksnap 0 "$@" --help
done <<EOF
version version
attach attach -d /dev/fake
detach detach -d /dev/fake
cbtinfo cbtinfo -d /dev/fake
cbtmap readcbtmap -d /dev/fake -f map
cbtdirty markdirtyblock -d /dev/fake -r 0:8
create snapshot_create -f . -l 1G
snapshotadd snapshot_add -i $uuid -d /dev/fake
take snapshot_take -i $uuid
destroy snapshot_destroy -i $uuid
snapshotinfo snapshot_info -d /dev/fake
collect snapshot_collect
wait_event snapshot_waitevent -i $uuid -t 1000
wait_event snapshot_watcher -i $uuid
collect status --checkpoints $scratch/names
cbtinstants checkpoint add -d /dev/fake x $names
- checkpoint list $names
- checkpoint remove --stale $names
EOF
# All of them, but for the one below, and those of repositories, which
# tests/backup tries, and tests/map.
commands | grep -vxE 'pull|backup|prune|list|verify|restore|export|map' | diff - tried ||
    fail "commands that were not tried"

# Successes that look like failures, or the other way round.
FAKE_FAIL=attach=114 blksnap 0 attach -d /dev/fake
FAKE_FAIL=wait_event=2 blksnap 0 snapshot_waitevent -i "$uuid" -t 10
# shellcheck disable=SC2086
blksnap 1 checkpoint remove none -d /dev/fake $names
blksnap 1
blksnap 1 checkpoint
blksnap 1 checkpoint none
blksnap 1 pull nbd+unix:///?socket=none copy
[ ! -e copy ] || fail "a copy of nothing"

# What a server cannot tell.
requires nbdkit
nbdkit -f -U socket memory 64k &
servers+=($!)
wait_for listens socket
blksnap 0 pull 'nbd+unix:///?socket=socket' copy
cp copy before
blksnap 3 pull --since monday 'nbd+unix:///?socket=socket' copy
cmp before copy
