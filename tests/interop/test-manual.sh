#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The examples of blksnap-nbd-protocol(7): who types them sees what it shows.
. "$(dirname "$0")/functions.sh"
requires nbdinfo nbdcopy qemu-img
manual=$here/../../tools/man/blksnap-nbd-protocol.7
[ -x "$(dirname "$BLKSNAP_NBD")/blksnap" ] || skip "no blksnap beside blksnap-nbd"

# The two days' copies of a disk: 8 MiB in blocks of 64 KiB.
write() { # BLOCK COUNT
    head -c $(($2 * 65536)) /dev/urandom |
        dd of=vdb bs=64k seek="$1" conv=notrunc iflag=fullblock status=none
}
blocks=()
save() { # DAY NUMBER
    cp --sparse=always vdb "$1.img"
    "$mapfile_py" make "$1.cbt" $((8 << 20)) 65536 $generation "$2" "${blocks[@]}"
}
truncate -s 8M vdb
for ((block = 0; block < 128; ++block)); do blocks+=($((block < 48))); done
write 0 48
save monday 1
for block in 16 17 20 100; do blocks[block]=2; done
write 16 2
write 100 1
head -c 65536 /dev/zero | dd of=vdb bs=64k seek=20 conv=notrunc status=none
save tuesday 2

# What is typed begins with "$ ", and goes on after a backslash.
awk '/^\.Sh/ { examples = /EXAMPLES/ } /^\.Ed/ { literal = 0 }
     examples && literal; /^\.Bd/ { literal = 1 }' "$manual" |
    sed 's/\\e/\\/g' >session
awk '/^\$ / || more { sub(/^\$ /, ""); print; more = /\\$/
         if (/&$/) print "started"; next }
     { print >"expected" }' session >typed
[ "$(wc -l <typed)" -gt 10 ] || fail "no examples were found: $(cat session)"

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
