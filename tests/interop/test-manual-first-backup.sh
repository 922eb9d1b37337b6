#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The first backup of blksnap(7), typed as it stands there. Copies of a disk on
# two days are what the snapshots of the device show, and the stand-in for the
# module is the kernel that knows the device.
. "$(dirname "$0")/functions.sh"
# shellcheck source=tests/interop/examples.sh
. "$here/examples.sh"
: "${FAKE_MODULE:?the stand-in for the module}"
tools=$(cd "$(dirname "$BLKSNAP_NBD")" && pwd)
[ -x "$tools/blksnap" ] || skip "no blksnap beside blksnap-nbd"
! is_sanitized "$BLKSNAP_NBD" || skip "built with a sanitizer"
two_days
take_examples "$here/../../tools/man/blksnap.7" 'A FIRST BACKUP'

export PATH=$tools:$PATH FAKE_DEVICE=/dev/vdb
days=(monday tuesday tuesday)
blksnap-nbd() { # what follows device=, diff= and limit= is as it was typed
    [ "$1 $2 $3" = 'device=/dev/vdb diff=/var/tmp limit=10G' ] ||
        fail "other settings: $*"
    local day=${days[0]}
    days=("${days[@]:1}")
    "$BLKSNAP_NBD" "file=$day.img" "cbt=$day.cbt" name=vdb \
        "checkpoints=$PWD/names" "${@:4}"
}
blksnap() {
    [ "$1" = checkpoint ] || fail "not of this page: blksnap $*"
    LD_PRELOAD=$FAKE_MODULE "$tools/blksnap" "$@" --file names
}
set +e # one of them is to fail
# shellcheck source=/dev/null
. ./typed >seen 2>&1
set -e
same "what the examples print" expected seen
[ ${#days[@]} -eq 0 ] || fail "no run for ${days[*]}"
cmp vdb.raw tuesday.img || fail "the increment is not the disk"
