#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The examples of blksnap-nbd-protocol(7): who types them sees what it shows.
. "$(dirname "$0")/functions.sh"
requires nbdinfo nbdcopy qemu-img
manual=$here/../../tools/man/blksnap-nbd-protocol.7
[ -x "$(dirname "$BLKSNAP_NBD")/blksnap" ] || skip "no blksnap beside blksnap-nbd"

# shellcheck source=tests/interop/examples.sh
. "$here/examples.sh"
two_days
take_examples "$manual" EXAMPLES

PATH=$(dirname "$BLKSNAP_NBD"):$PATH
blksnap-nbd() { exec "$BLKSNAP_NBD" -P pid "$@"; }
started() {
    servers+=($!)
    wait_for server_answers 2>&3
    rm pid
}
set +e # one of them is to fail
# shellcheck source=/dev/null
. ./typed 3>&2 >seen 2>&1
set -e
same "what the examples print" expected seen
cmp vdb.raw tuesday.img || fail "the increment is not the disk"
