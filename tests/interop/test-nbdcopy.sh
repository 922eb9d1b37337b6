#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# nbdcopy: the same bytes, over several connections at once.
. "$(dirname "$0")/functions.sh"
requires nbdcopy
serve

nbdcopy --connections=4 --threads=4 --requests=64 "$uri" copy.raw
[ "$(sha256sum <copy.raw)" = "$(sha256sum <disk.raw)" ] || fail "they differ"
[ "$(grep -c 'connected$' server.log)" -ge 4 ] ||
    fail "not several connections"

# Any size of request; one at a time; with the size in no round number.
for bytes in 4096 33554432; do
    nbdcopy --request-size=$bytes --connections=1 "$uri" copy.raw
    cmp copy.raw disk.raw || fail "requests of $bytes"
done
nbdcopy --synchronous "$uri" copy.raw
cmp copy.raw disk.raw || fail "synchronous"

# An export with one bitmap has the same data.
nbdcopy "nbd+unix:///disk@$generation.3?socket=socket" copy.raw
cmp copy.raw disk.raw || fail "disk@CHECKPOINT"
