#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Two pulls do not write into one target, nor a pull and QEMU.
. "$(dirname "$0")/functions.sh"
requires nbdkit flock sha256sum qemu-nbd qemu-io

serve_nbdkit memory 1M
random_file copy.raw 1M
sha256sum copy.raw >before
exec 9<copy.raw
flock 9
pull 1 "$nbdkit_uri" copy.raw
says err 'another program has it locked'
sha256sum --quiet -c before
exec 9<&-

# QEMU's locks are others: it has the file open, to write or to read.
for mode in '' -r; do
    # shellcheck disable=SC2086  # none, or one word
    serve_qemu $mode -f raw copy.raw
    pull 1 "$nbdkit_uri" copy.raw
    says err 'copy.raw: QEMU, or another program, has it open'
    stop
done
sha256sum --quiet -c before
pull 0 "$nbdkit_uri" copy.raw

# Nor does QEMU open what is being written.
nbdkit -f -U "$PWD/slow.sock" --filter=noextents --filter=delay memory 1M rdelay=60 &
servers+=($!)
wait_for listens slow.sock
"$BLKSNAP" pull 'nbd+unix:///?socket=slow.sock' slow.raw >/dev/null 2>&1 &
servers+=($!)
wait_for test -s slow.raw
for words in '-r' ''; do
    # shellcheck disable=SC2086  # none, or one word
    ! qemu-io $words -f raw -c 'read 0 512' slow.raw >seen 2>&1 || fail "QEMU opened it"
    says seen 'Failed to get'
done
