#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# libnbd's 64-bit block status, with and without a choice of contexts.
. "$(dirname "$0")/functions.sh"
"$client_python" -c 'import nbd; nbd.NBD().block_status_filter' 2>/dev/null ||
    skip "libnbd has no extended headers, or is not there for Python"

size=$((40 << 30))
truncate -s $size disk.raw
# shellcheck disable=SC2046  # many words
"$mapfile_py" make map $size $((1 << 20)) $generation 9 \
    $(for ((block = 0; block < 40960; ++block)); do
        echo $((block * block / 397 % 10))
    done)
serve

"$client_python" "$here/libnbd-64.py" "$uri" "$(bitmap '')" 2 5 8 >seen
for number in 2 5 8; do
    extents $number | sed "s/^/$number /"
done >expected
same "changed" expected seen
