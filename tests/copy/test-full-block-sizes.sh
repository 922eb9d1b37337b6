#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No request is unaligned or too large for the server, also where its own
# extents are not aligned.
. "$(dirname "$0")/functions.sh"
requires nbdkit cmp

random_file source.raw 1M
# Holes that do not start or end at blocks of 4096.
printf '%s\n' '0 5000 data' '5000 100000 hole,zero' '105000 943576 data' >extents
dd if=/dev/zero of=source.raw bs=1000 seek=5 count=100 conv=notrunc status=none
serve_nbdkit --filter=blocksize-policy --filter=extentlist file source.raw \
    extentlist=extents blocksize-minimum=4096 blocksize-preferred=4096 \
    blocksize-maximum=65536 blocksize-error-policy=error

pull 0 "$nbdkit_uri" copy.raw
cmp source.raw copy.raw
says out zeroed_bytes=100000
