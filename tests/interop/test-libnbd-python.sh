#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# libnbd's Python binding: two contexts at once, as backup tools use them.
. "$(dirname "$0")/functions.sh"
/usr/bin/python3 -c 'import nbd' 2>/dev/null || {
    echo "skipped: no libnbd for Python (python3-libnbd)"
    exit 77
}
serve

for number in 2 8; do
    "$here/libnbd-walk.py" "$uri" "$(bitmap $number)" >seen
    extents $number >expected
    same "changed since $number" expected seen
done
