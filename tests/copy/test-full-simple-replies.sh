#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A server without structured replies has no block status: everything is read,
# and zeroes that were read become holes all the same.
. "$(dirname "$0")/functions.sh"
requires nbdkit cmp

random_file source.raw 3M
truncate -s 20000000 source.raw
serve_nbdkit --no-sr file source.raw

pull 0 "$nbdkit_uri" copy.raw
cmp source.raw copy.raw
printf '%s\n' device_bytes=20000000 read_bytes=20000000 zeroed_bytes=0 |
    diff - out
[ "$(du -k copy.raw | cut -f1)" -le 3200 ] || fail "the copy is not sparse"
