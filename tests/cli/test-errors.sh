#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Errors are one line on stderr and exit status 1, and nothing else is done.
. "$(dirname "$0")/functions.sh"

bad() {
    local says=$1
    shift
    blksnap 1 "$@"
    [ ! -s out ] || fail "an error, but printed $(cat out)"
    [ ! -s log ] || fail "an error, but called $(cat log)"
    says err "$says"
}
bad 'no command'
bad "no command 'atach'" atach -d /dev/fake
bad '--device is required' attach
bad "--id" snapshot_take
bad "'3f0c' is not a UUID" snapshot_take --id 3f0c
bad 'not a block device' attach --device /dev/null
bad 'No such file or directory' attach --device /dev/none
bad 'not expected' version more

# An option that there is not, before what is missing for the want of it.
bad "no option '--tp'; see blksnap backup --help" backup nbd://x --tp repo
bad "no option '--tp=repo'" backup nbd://x --tp=repo
bad "no option '-bad'; see blksnap checkpoint add --help" checkpoint add -bad
bad "no option '-V' before a command; see blksnap --help" -V
bad "no option '--json' before a command; see blksnap --help" --json pull nbd://x copy
bad "no option '--json' before a command; see blksnap checkpoint --help" \
    checkpoint --json list
bad '--device is required; see blksnap checkpoint add --help' checkpoint add x
bad "'-' is no target" pull nbd+unix:///?socket=none -
bad "'-' is no target" restore none --to -
bad 'either --file or --device' markdirtyblock
bad 'excludes' markdirtyblock -f x -d /dev/fake -r 0:1
for range in 1 1: :1 1:0 -1:1 1:1x 1:1,2:1 0x1:1 18446744073709551616:1; do
    bad "'$range'" markdirtyblock -d /dev/fake "--ranges=$range"
done
bad "'5Q'" snapshot_create -f . -l 5Q
bad 'not in' snapshot_info -d /dev/fake -f size
bad 'timeout' snapshot_waitevent -i "$uuid" -t soon

FAKE_FAIL=destroy=19 blksnap 1 snapshot_destroy -i "$uuid"
says err 'No such device'

# What could not be printed was not done.
status=0
LD_PRELOAD=$FAKE_MODULE "$BLKSNAP" version >/dev/full 2>err || status=$?
[ $status -eq 1 ] || fail "status $status on a full disk"
says err 'No space left'
