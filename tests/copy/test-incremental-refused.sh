#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A server that cannot tell what changed: exit status 3, nothing is touched.
. "$(dirname "$0")/functions.sh"
requires nbdkit qemu-img qemu-nbd sha256sum

random_file copy.raw 1M
sha256sum copy.raw >before

refused() {
    pull 3 --since "$1" "$2" copy.raw
    says err "server does not offer qemu:dirty-bitmap:$1 for $3"
    says err 'take a full copy'
    sha256sum --quiet -c before
    # It did not even get as far as to look for the target.
    pull 3 --since "$1" "$2" nowhere.raw
    [ ! -e nowhere.raw ] || fail "a file came to be"
}

# The size fits, the context is not there: no bitmaps, no structured replies,
# another bitmap.
serve_nbdkit memory 1M
refused 3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e.7 \
    'nbd+unix:///vdb?socket=nbdkit.sock' "export 'vdb'"
rm nbdkit.sock
serve_nbdkit --no-sr memory 1M
refused monday "$nbdkit_uri" 'the default export'

qemu-img create -q -f qcow2 source.qcow2 1M
qemu-img bitmap --add source.qcow2 tuesday
serve_qemu -r -f qcow2 -B tuesday source.qcow2
refused monday "$qemu_uri" 'the default export'

# Not a checkpoint at all.
pull 1 --since '' "$qemu_uri" copy.raw
sha256sum --quiet -c before
