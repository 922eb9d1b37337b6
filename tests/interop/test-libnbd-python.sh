#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# libnbd's Python binding: two contexts at once, as backup tools use them.
. "$(dirname "$0")/functions.sh"
"$client_python" -c 'import nbd' 2>/dev/null ||
    skip "no libnbd for Python (python3-libnbd)"
serve

for number in 2 8; do
    "$client_python" "$here/libnbd-walk.py" "$uri" "$(bitmap $number)" >seen
    extents $number >expected
    same "changed since $number" expected seen
done
