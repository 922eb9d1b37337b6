#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The raw map has a byte per block; the saved one says what it is of.
. "$(dirname "$0")/functions.sh"

blksnap 0 readcbtmap -d /dev/fake -f map
[ ! -s out ] || fail "it prints"
for _ in $(seq 125); do printf '\0\1\2\3\4\5\6\7'; done >wanted
cmp map wanted
blksnap 0 readcbtmap -d /dev/fake -f /dev/stdout
cmp out wanted
FAKE_FAIL=cbtmap=61 blksnap 1 readcbtmap -d /dev/fake -f none
[ ! -e none ] || fail "a file for nothing"

blksnap 0 readcbtmap -d /dev/fake -f saved --format=saved
! cmp -s saved wanted || fail "not in the saved format"
blksnap 1 readcbtmap -d /dev/fake -f /dev/null --format=saved
says err 'not a regular file'
[ -c /dev/null ] || fail "/dev/null is gone"
# No take, no instant that a checkpoint could name.
FAKE_TAKE=0 blksnap 1 readcbtmap -d /dev/fake -f none --format=saved
says err 'no snapshot was taken'
[ ! -e none ] || fail "a file for nothing"
