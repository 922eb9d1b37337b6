# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by every test of this folder: the plugin in an nbdkit, and a disk. With
# CLIENTS set to a release of Debian, it is that one's nbdkit that loads the
# plugin, built here, and that one's clients that connect to it.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/functions.sh
source "$here/../functions.sh"
# shellcheck source=tests/chroot/functions.sh
source "$here/../chroot/functions.sh"

: "${PLUGIN:?the plugin to test}"
use_clients "$here" "$(dirname "$PLUGIN")" "$(dirname "${FAKE_MODULE:-$PLUGIN}")"
requires nbdkit nbdinfo
! is_sanitized "$PLUGIN" || skip "nbdkit cannot load what has a sanitizer"

# uri [EXPORT] [SOCKET]
# shellcheck disable=SC2119,SC2120  # both may be left out
uri() { echo "nbd+unix:///${1:-}?socket=${2:-nbdkit.sock}"; }
# serve ARG... : nbdkit in the foreground on ./nbdkit.sock.
nbdkit=(nbdkit) # how it is started
serve() {
    rm -f nbdkit.sock
    "${nbdkit[@]}" -f -U "$PWD/nbdkit.sock" "$@" &
    servers+=($!)
    wait_for listens nbdkit.sock
}
stop() {
    kill "${servers[-1]}"
    wait "${servers[-1]}" || fail "the server ended with $?"
    unset 'servers[-1]'
}

# A file of 10 MiB and a bit, and a change map of it in blocks of 64 KiB, of
# take 3 of $generation: block 0 changed after take 2, blocks 16 to 31 after
# take 1, the last one after take 2.
# shellcheck disable=SC2034  # for the tests
generation=3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e
make_disk() {
    requires python3
    head -c 10486272 /dev/urandom >disk.raw
    python3 "$here/make-map.py" disk.cbt 10486272 65536 "$generation" 3 \
        0:1:3 16:16:2 160:1:3
}
