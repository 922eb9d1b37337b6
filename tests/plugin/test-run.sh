#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# With --run, the parent of the fork waits for the child that serves to end.
# Would it have the image open meanwhile, the snapshot could not be released.
. "$(dirname "$0")/functions.sh"
requires pgrep readlink

make_disk
# shellcheck disable=SC2016  # for the shell that nbdkit starts
nbdkit -U - "$PLUGIN" file=disk.raw cbt=disk.cbt bitmaps=unix:bitmaps.sock \
    --run 'nbdinfo --size "$uri" >out
           nbdinfo --size "nbd+unix:///?socket=bitmaps.sock" >>out
           echo "$PPID" >parent
           readlink /proc/"$PPID"/fd/* >parent-fds
           for child in $(pgrep -P "$PPID"); do
               readlink /proc/"$child"/fd/* >>child-fds
           done
           exit 0'
printf '%s\n' 10486272 10486272 | diff - out
says child-fds "$scratch/disk.raw"
! grep disk.raw parent-fds || fail "the parent has the image open"
[ ! -e bitmaps.sock ] || fail "the socket stays behind"
