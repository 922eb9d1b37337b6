# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced by every test of this folder. In the working directory is what to
# serve:
#   disk.raw  64 MiB: random data, holes, and a tail of zeroes
#   map       its change map, blocks of 64 KiB, takes 1 to 9
# serve() starts blksnap-nbd on ./socket; it is stopped at the end. With CLIENTS
# set to a release of Debian, it is that one's programs that connect to it.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/functions.sh
source "$here/../functions.sh"
# shellcheck source=tests/chroot/functions.sh
source "$here/../chroot/functions.sh"
use_clients "$here"

: "${BLKSNAP_NBD:?the blksnap-nbd program to test}"
mapfile_py=$here/../protocol/mapfile.py

# same WHAT FILE FILE : the text files are alike.
same() {
    diff -u "$2" "$3" >&2 || fail "$1"
}

size=$((64 << 20))
truncate -s $size disk.raw
for mib in 1 2 3 17 40 41; do
    head -c 700000 /dev/urandom |
        dd of=disk.raw bs=1M seek=$mib conv=notrunc status=none
done

# shellcheck disable=SC2034  # for the tests
generation=3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e
# Blocks in runs of different lengths, written between the takes 0 and 9.
# shellcheck disable=SC2046  # many words
"$mapfile_py" make map $size 65536 $generation 9 \
    $(for ((block = 0; block < 1024; ++block)); do
        echo $((block * block / 37 % 10))
    done)

# extents NUMBER : what changed since that take, from the map itself:
# "OFFSET LENGTH 0|1" lines.
extents() {
    "$mapfile_py" since map "$1"
}

# bitmap NUMBER : the metadata context.
bitmap() {
    echo "qemu:dirty-bitmap:$generation.$1"
}

# shellcheck disable=SC2034  # for the tests
uri='nbd+unix:///disk?socket=socket'
# serve [WORD...] : with a change map, if nothing else is said.
serve() {
    [ $# -gt 0 ] || set -- cbt=map
    "$BLKSNAP_NBD" -v -U socket -P pid file=disk.raw name=disk "$@" \
        2>server.log &
    servers+=($!)
    wait_for server_answers
}
server_answers() {
    kill -0 "${servers[-1]}" 2>/dev/null || fail "the server ended"
    [ -e pid ]
}
